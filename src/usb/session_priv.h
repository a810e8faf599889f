/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/clock.h"
#include "usb/session.h"

/* How the pieces of a session see it: session.c (coming, going, time), sessionrom.c, sessionfiles.c, sessionwrite.c, sessionlog.c. */

#define BR_USB_DEPTH 4 /* bulk pieces in flight: the bus is not idle while we fetch the next one */
#define BR_USB_CONTROL_NS BR_S
#define BR_USB_PIECE_NS (5 * BR_S)
#define BR_USB_SPEAK_NS (20 * BR_S) /* silence that is worth a word: boards erase EEPROMs as long */
#define BR_USB_ROM_PAUSE_NS BR_S    /* before the ROM's status is read */
#define BR_USB_PAUSE_NS BR_S	    /* before what failed is tried again */
#define BR_USB_GOING_NS (3 * BR_S)  /* after a bus error: is it leaving? Longer than the host takes to see it (usb/libusb.c: 2 s) */
#define BR_USB_OPEN_RETRY_NS (100 * BR_MS)
#define BR_USB_OPEN_NS (3 * BR_S) /* udev's rule may come after the device */
#define BR_USB_STUCK_NS (10 * BR_S) /* over a transfer's time: the host keeps neither time nor word */
#define BR_USB_WHOLE_NS (7200 * BR_S)
#define BR_USB_OPENING_NS (30 * BR_S) /* for a file that the payload has not got yet */
#define BR_USB_OPENING_POLL_NS (5 * BR_MS)
#define BR_USB_OPENED_MAX (256ull << 20) /* of files opened and not sent, over what OPENED_TIMES of the sent ones are */
#define BR_USB_OPENED_TIMES 4
#define BR_USB_TRIES 3
#define BR_USB_REQUESTS_MAX 10000

enum br_usb_state {
	BR_USB_S_AWAY,	     /* nothing on the path; until deadline */
	BR_USB_S_OPEN,	     /* a device that is not open yet; deadline: the next try */
	BR_USB_S_ROM_HEAD,   /* the message before the first stage */
	BR_USB_S_ROM_STAGE,  /* the first stage */
	BR_USB_S_ROM_PAUSE,
	BR_USB_S_ROM_STATUS,
	BR_USB_S_ROM_LEAVE,  /* all is sent; the ROM is to leave the bus */
	BR_USB_S_ASK,	     /* a read of a request is in flight */
	BR_USB_S_ANSWER,     /* a length is on its way, without data */
	BR_USB_S_FILE,
	BR_USB_S_OPENING,    /* the payload has not got the file yet; deadline: when it is asked again */
	BR_USB_S_PAUSE,	     /* before it is asked again */
	BR_USB_S_GOING,	     /* bus error: leaving, or not */
	BR_USB_S_CLEAR,	     /* the halt of the bulk endpoint is being cleared, after which it is as it was in 'stalled' */
	BR_USB_S_ENDED,
	BR_USB_N_STATES,
};

/* write(): a length, then so many bytes of memory or of a file. */
struct br_usb_write {
	const uint8_t *memory; /* NULL: of the file */
	uint64_t len, handed, done;
};

struct br_usb_piece {
	struct br_usb_transfer t;
	uint8_t data[BR_USBBOOT_PIECE];
};

struct br_usb_session {
	struct br_usb_session_options o;
	char path[BR_USB_PATH_MAX], serial[BR_USB_SERIAL_MAX];
	const struct br_usbboot_model *model;
	struct br_usb_device *dev; /* NULL: away */
	bool open;
	struct br_usbboot_ends ends;

	enum br_usb_state state, was; /* was: before GOING, or when it left */
	enum br_usb_state stalled;    /* before CLEAR */
	uint64_t started_ns, deadline_ns, speak_ns;
	uint64_t open_until_ns;
	enum br_usb_verdict verdict;
	char reason[600];

	struct br_usb_transfer control;
	uint8_t control_data[BR_USBBOOT_REQUEST];
	struct br_usb_piece pieces[BR_USB_DEPTH];
	unsigned in_flight;
	bool stuck; /* the deadline of a transfer was over once */
	struct br_usb_write write;
	enum br_usb_status failed; /* of the write that is being given up; OK: none */
	bool halted;		   /* ... whose bulk endpoint stalled */
	enum br_usb_status trouble; /* what led to GOING */

	/* the first stage */
	uint8_t head[BR_USBBOOT_FIRST], sig[BR_USBBOOT_SIG];
	bool sent;	 /* since the device came last as a ROM */
	bool sent_once;
	bool no_status;	 /* it could not be read */
	bool speaking;	 /* the device that came last is a file server */
	unsigned rom_tries, rounds;
	/* files */
	struct br_usb_file file;
	bool has_file;
	char name[BR_USBBOOT_NAME]; /* of file, or what was asked for last */
	uint64_t file_ns;
	struct br_usbboot_request asked; /* the last request that was one of files */
	void (*again)(struct br_usb_session *s, uint64_t now_ns); /* OPENING: what to do anew */
	uint64_t opening_until_ns;
	uint64_t opened, given; /* bytes of files opened; sent, however often it began anew */
	unsigned requests, files, tries, senseless;
	bool done_asked; /* done, but for the answer to it */
	uint64_t bytes;
	char other[40]; /* what came on the path and was no board in boot mode: "18d1:4e40" */

	struct br_usb_step *steps;
	size_t n_steps, cap_steps;
	struct br_usb_metadata *metadata;
	size_t n_metadata;
};

/* sessionlog.c. Strings may be NULL. */
void br_usb_log_step(struct br_usb_session *s, enum br_usb_step_kind kind, const char *name, const char *detail,
	uint64_t bytes, uint64_t took_ns, uint64_t now_ns);
__attribute__((format(printf, 3, 4))) void br_usb_log_trouble(
	struct br_usb_session *s, uint64_t now_ns, const char *fmt, ...);
/* The value of a key, the newest counts. */
void br_usb_log_metadata(struct br_usb_session *s, const char *key, const char *value, uint64_t now_ns);
void br_usb_log_done(struct br_usb_session *s);

/* session.c */
void br_usb_enter(struct br_usb_session *s, enum br_usb_state state, uint64_t deadline_ns);
__attribute__((format(printf, 4, 5))) void br_usb_end(
	struct br_usb_session *s, enum br_usb_verdict verdict, uint64_t now_ns, const char *fmt, ...);
/* A transfer failed while the device seemed to be there: it is leaving, or tries are counted. */
void br_usb_failed(struct br_usb_session *s, enum br_usb_status status, uint64_t now_ns);
/* Leaves the file that is open. */
void br_usb_drop_file(struct br_usb_session *s);
/* Opens a file of the payload; errors but -ENOENT have words. */
int br_usb_find(struct br_usb_session *s, const char *name, uint64_t max, struct br_error *err);

/* It said -EINPROGRESS: again() asks anew, for as long as a file may take. */
void br_usb_opening(struct br_usb_session *s, void (*again)(struct br_usb_session *s, uint64_t now_ns), uint64_t now_ns);

/* sessionwrite.c: begins a write; the state must be entered before. memory NULL: of s->file. */
void br_usb_write(struct br_usb_session *s, const uint8_t *memory, uint64_t len, uint64_t now_ns);
/* Begins a read of n bytes into control_data. */
void br_usb_read(struct br_usb_session *s, uint32_t n, uint64_t timeout_ns, uint64_t now_ns);
/* The halt of a write that stalled is cleared, or could not be: what is to be done about the stall is done now. */
void br_usb_write_cleared(struct br_usb_session *s, const struct br_usb_transfer *t, uint64_t now_ns);
/* A transfer of a write completed: true when all of it is written. What failed went to br_usb_failed(). */
bool br_usb_write_completed(struct br_usb_session *s, struct br_usb_transfer *t, uint64_t now_ns);

/* sessionrom.c */
void br_usb_rom_begin(struct br_usb_session *s, uint64_t now_ns);
void br_usb_rom_written(struct br_usb_session *s, uint64_t now_ns);
void br_usb_rom_status(struct br_usb_session *s, const struct br_usb_transfer *t, uint64_t now_ns);
void br_usb_rom_failed(struct br_usb_session *s, enum br_usb_status status, uint64_t now_ns);

/* sessionfiles.c */
void br_usb_files_ask(struct br_usb_session *s, uint64_t now_ns);
void br_usb_files_request(struct br_usb_session *s, const struct br_usb_transfer *t, uint64_t now_ns);
void br_usb_files_written(struct br_usb_session *s, uint64_t now_ns);
void br_usb_files_done(struct br_usb_session *s, uint64_t now_ns);
void br_usb_files_failed(struct br_usb_session *s, enum br_usb_status status, uint64_t now_ns);
