/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The store of log lines: what boards say by syslog, netconsole, serial line or bramble-log, one time line for each. Files below
 * DIR: segments of compressed blocks, each block with a filter of the four-byte pieces of its text, so that a search
 * reads little; and a short journal of what is not in a block yet (segment.h, block.h). docs/logs.md has the format.
 *
 * Every call may come from any thread. A line that br_logs_put() took is in the files after at most 'flush_ms', so it outlives a
 * kill -9, and on stable storage after at most 'sync_ms', so it outlives a loss of power. A torn end is ignored at the
 * next opening.
 *
 * Limits: each sender has a token bucket, 'rate' lines a second with 'burst' of them at once (a line counts once for each 512
 * bytes begun). Above it the newest BR_LOGS_HELD lines of a sender wait for their turn, older ones are lost; the loss is
 * counted, and told as a line of source "bramble" and through on_lost().
 */
struct br_logs;

enum br_logs_source {
	BR_LOGS_BRAMBLE, /* ours: what was lost, marks */
	BR_LOGS_SYSLOG,
	BR_LOGS_KERNEL, /* netconsole */
	BR_LOGS_UBOOT,	/* U-Boot's netconsole, or its serial line */
	BR_LOGS_BOOTLOADER, /* the EEPROM's NETCONSOLE */
	BR_LOGS_SERIAL,
	BR_LOGS_STREAM, /* bramble-log */
	BR_LOGS_SOURCES, /* how many there are */
};

#define BR_LOGS_TEXT_MAX 8192  /* bytes of a line; the rest is cut off, and counted */
#define BR_LOGS_STREAM_MAX 63  /* bytes of a stream's name; the rest is cut off */
#define BR_LOGS_NO_SEVERITY 8
#define BR_LOGS_HELD 256       /* lines of a sender that wait above its rate */
#define BR_LOGS_STRANGERS 256  /* addresses of no board that are told apart; the others share one limit */
#define BR_LOGS_LIMIT_MAX 1000000

/* "syslog", "kernel" ... */
const char *br_logs_source_word(enum br_logs_source source);
/* -EINVAL: no such source. */
int br_logs_source_parse(const char *word, enum br_logs_source *ret);
/* "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug" (RFC 5424, table 2); NULL: not known */
const char *br_logs_severity_word(unsigned severity);

/* One line. Its bytes are hostile: anything but a newline at the end may be in them. */
struct br_logs_line {
	uint64_t seq;	   /* its number, from 1; set by the store */
	uint64_t wall_ns;  /* when it came; 0 for br_logs_put(): now */
	int64_t board_id;  /* 0: of no board */
	uint32_t ip;	   /* who sent it; 0: nobody over the network */
	enum br_logs_source source;
	unsigned severity; /* 0 to 7, or BR_LOGS_NO_SEVERITY */
	const char *stream; /* program, experiment's stream; "" for none; n_stream bytes */
	size_t n_stream;
	const char *text;
	size_t n_text;
};

struct br_logs_options {
	const char *dir;     /* made when it is not there */
	uint64_t max_bytes;  /* of all its files, 0: 1 GiB; at least 1 MiB */
	uint64_t max_age_ns; /* 0: for ever */
	uint32_t rate;	     /* lines a second of one sender; 0: 2000 */
	uint32_t burst;	     /* 0: ten times the rate */
	unsigned flush_ms, sync_ms; /* 0: 200, 1000 */
	/* Lines of a sender (board 0 and ip 0: of all) were lost, at most once in ten seconds for each. reason: words. Called from the
	 * store's own thread. May be NULL. */
	void (*on_lost)(void *ctx, int64_t board_id, uint32_t ip, uint64_t n, const char *reason);
	void *ctx;
};

int br_logs_open(const struct br_logs_options *opt, struct br_logs **ret, struct br_error *err);
/* Stores what is there, ends followers' waits. NULL is accepted. */
void br_logs_close(struct br_logs *logs);

/* Takes one line (copied), never waits for a disk. Newlines at its end are taken off; an empty one is ignored. */
void br_logs_put(struct br_logs *logs, const struct br_logs_line *line);
/* Lines were lost before they came here (a socket's buffer was full). */
void br_logs_lost(struct br_logs *logs, int64_t board_id, uint32_t ip, uint64_t n, const char *reason);
/* Everything put so far is on stable storage, or why not. */
int br_logs_sync(struct br_logs *logs, struct br_error *err);

struct br_logs_stats {
	uint64_t lines, bytes;	/* taken since the opening */
	uint64_t by_source[BR_LOGS_SOURCES];
	uint64_t cut;		/* lines that were too long */
	uint64_t lost_rate, lost_socket, lost_disk; /* above the limit; before they came here; could not be stored */
	uint64_t held;		/* waiting above their sender's rate now */
	uint64_t disk_bytes, raw_bytes, segments, blocks; /* in the store; raw: before compression */
	uint64_t first_seq, last_seq, first_ns; /* of what is there, 0: nothing */
	uint64_t removed;	/* lines that went by size or age since the opening */
	uint64_t damaged;	/* blocks that could not be read */
	struct br_error trouble; /* why the last writing failed; code 0: it did not */
};
void br_logs_stats(struct br_logs *logs, struct br_logs_stats *ret);

/* ---- finding ---- */

struct br_logs_filter {
	const int64_t *boards; /* ids; n_boards 0: all, strangers too */
	size_t n_boards;
	uint32_t ip;	   /* 0: any */
	uint32_t sources;  /* bits 1 << enum br_logs_source; 0: all */
	const char *stream; /* its name, with or without "[pid]"; NULL: any */
	unsigned max_severity; /* only those as bad or worse; 0 with has_severity false: all */
	bool has_severity;
	uint64_t since_ns, until_ns; /* [since, until), 0: open */
	uint64_t after;	   /* only lines with a greater number */
	const struct br_logs_pattern *pattern; /* pattern.h; NULL: all */
	size_t limit;	   /* the newest so many; 0: BR_LOGS_LIMIT_MAX */
};

/*
 * Finds lines: *ret_seqs gets their numbers in order (free()), *ret_n how many, *ret_more whether older ones were left out for the
 * limit. Searches in several threads, from the newest on. deadline_ns (monotonic; 0: none): then -ETIMEDOUT.
 */
int br_logs_find(struct br_logs *logs, const struct br_logs_filter *filter, uint64_t deadline_ns, uint64_t **ret_seqs,
	size_t *ret_n, bool *ret_more, struct br_error *err);

/* A reader goes through lines in order, keeping a block in memory between its calls. One thread at a time. */
struct br_logs_reader;
int br_logs_reader_new(struct br_logs *logs, struct br_logs_reader **ret);
void br_logs_reader_free(struct br_logs_reader *reader);
/* The line of that number; what ret points to lives until the next call. -ENOENT: it is gone, or not there yet. */
int br_logs_reader_get(struct br_logs_reader *reader, uint64_t seq, struct br_logs_line *ret);
/*
 * The next line after 'filter->after' that passes (its limit is ignored), which moves 'after' on. 1: there is one; 0: none now, and
 * none up to 'after': ask again after br_logs_wait(filter->after); a negative errno. *ret_gone: lines that went by size or age before they were
 * read. Looks at no more than about a block, and about 50 ms, without finding one: then -EAGAIN, ask again.
 */
int br_logs_reader_next(struct br_logs_reader *reader, struct br_logs_filter *filter, struct br_logs_line *ret,
	uint64_t *ret_gone);
/* Until a line after 'seq' is there: 1; 0: timeout_ms went by; -ESHUTDOWN: the store is being closed. */
int br_logs_wait(struct br_logs *logs, uint64_t seq, unsigned timeout_ms);
/* Ends all waits, present and coming, with -ESHUTDOWN: the API stops before the store. */
void br_logs_stop_waits(struct br_logs *logs);

/* ---- marks: names for moments ---- */

#define BR_LOGS_MARK_MAX 63   /* bytes of a name: [A-Za-z0-9._-], not beginning with a digit or '-' */
#define BR_LOGS_MARKS 1000    /* kept; the oldest goes */

struct br_logs_mark {
	char name[BR_LOGS_MARK_MAX + 1];
	uint64_t wall_ns, seq; /* seq: number of the last line before it */
};

bool br_logs_mark_ok(const char *name);
/* Makes one, or moves it to now; stable on return. -EINVAL with words. */
int br_logs_mark_set(struct br_logs *logs, const char *name, struct br_logs_mark *ret, struct br_error *err);
int br_logs_mark_get(struct br_logs *logs, const char *name, struct br_logs_mark *ret);
/* All, oldest first, in fresh memory (free()). */
int br_logs_marks(struct br_logs *logs, struct br_logs_mark **ret, size_t *ret_n);
/* -ENOENT */
int br_logs_mark_remove(struct br_logs *logs, const char *name, struct br_error *err);
