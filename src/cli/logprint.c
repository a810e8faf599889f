/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/logprint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

#define RED "\033[31m"
#define YELLOW "\033[33m"
#define BLUE "\033[34m"
#define GREY "\033[2m"
#define PLAIN "\033[0m"

void br_log_printer_init(struct br_log_printer *p)
{
	const char *term = getenv("TERM");

	*p = (struct br_log_printer){
		.colours = isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0,
		.board_width = 8,
	};
}

static const char *text_of(const json_t *row, const char *key)
{
	const char *s = json_string_value(json_object_get(row, key));

	return s ? s : "";
}

/* Local time of day; a new day has a line of its own. */
static void print_time(struct br_log_printer *p, const char *utc)
{
	const char *dot = strchr(utc, '.');
	struct tm tm = { 0 }, local;
	char day[16] = "", clock[16] = "--:--:--";
	time_t t;

	if (strptime(utc, "%Y-%m-%dT%H:%M:%S", &tm)) {
		t = timegm(&tm);
		if (localtime_r(&t, &local) && (!strftime(day, sizeof(day), "%Y-%m-%d", &local) ||
						       !strftime(clock, sizeof(clock), "%H:%M:%S", &local)))
			clock[0] = 0;
	}
	if (strcmp(day, p->day) != 0)
		printf("%s-- %s --%s\n", p->colours ? GREY : "", day, p->colours ? PLAIN : "");
	memcpy(p->day, day, sizeof(day));
	printf("%s%.4s", clock, dot && strspn(dot + 1, "0123456789") >= 3 ? dot : "");
}

static void print_clean(const char *s)
{
	struct br_text t = BR_TEXT_NULL;

	br_text_add_clean(&t, s, strlen(s));
	fputs(t.buf ? t.buf : "", stdout);
	br_text_done(&t);
}

static const char *colour_of(const char *severity)
{
	static const char *const bad[] = { "emerg", "alert", "crit", "err" };

	for (size_t i = 0; i < BR_ARRAY_SIZE(bad); i++)
		if (!strcmp(severity, bad[i]))
			return RED;
	return strcmp(severity, "warning") ? strcmp(severity, "debug") ? "" : GREY : YELLOW;
}

/* A board's name, or a stranger's address. */
static void print_who(struct br_log_printer *p, const char *board, const char *ip)
{
	const char *who = *board ? board : *ip ? ip : "-";
	int n = (int)strlen(who);

	p->board_width = n > p->board_width ? n : p->board_width;
	fputs("  ", stdout);
	print_clean(who);
	printf("%*s  ", p->board_width - n, "");
}

static void print_event(struct br_log_printer *p, const json_t *ev)
{
	const char *words = text_of(ev, "text");

	print_time(p, text_of(ev, "time"));
	print_who(p, text_of(ev, "board"), "");
	printf("%s* ", p->colours ? BLUE : "");
	print_clean(*words ? words : text_of(ev, "type"));
	puts(p->colours ? PLAIN : "");
}

void br_log_print(struct br_log_printer *p, const json_t *row)
{
	const json_t *event = json_object_get(row, "event"), *gone = json_object_get(row, "gone");
	const char *stream = text_of(row, "stream"), *colour = colour_of(text_of(row, "severity"));

	if (gone) {
		printf("-- %lld lines went by size or age before they could be shown --\n", (long long)json_integer_value(gone));
		return;
	}
	if (event) {
		print_event(p, event);
		return;
	}
	print_time(p, text_of(row, "time"));
	print_who(p, text_of(row, "board"), text_of(row, "ip"));
	printf("%s", p->colours ? GREY : "");
	print_clean(text_of(row, "source"));
	printf("%s%s", *stream ? "/" : "", "");
	print_clean(stream);
	printf(":%s %s", p->colours ? PLAIN : "", p->colours ? colour : "");
	print_clean(text_of(row, "text"));
	puts(p->colours ? PLAIN : "");
}

static long long number(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

void br_log_print_status(const json_t *st)
{
	const json_t *lost = json_object_get(st, "lost"), *rx = json_object_get(st, "listening");
	char disk[16], raw[16];
	const char *problem = text_of(st, "problem");

	printf("lines:     %lld since the daemon started, %lld cut\n", number(st, "lines"), number(st, "cut"));
	printf("lost:      %lld above their boards' rate, %lld by the sockets, %lld by the disk\n", number(lost, "rate"),
		number(lost, "socket"), number(lost, "disk"));
	printf("stored:    %s in %lld segments, %s before compression; lines %lld to %lld\n",
		br_format_size(disk, sizeof(disk), (uint64_t)number(st, "disk_bytes")), number(st, "segments"),
		br_format_size(raw, sizeof(raw), (uint64_t)number(st, "raw_bytes")), number(st, "first_seq"), number(st, "last_seq"));
	if (json_is_object(rx))
		printf("listening: syslog %lld, netconsole %lld, bramble-log %lld (0: not); %lld connections\n", number(rx, "syslog_port"),
			number(rx, "netconsole_port"), number(rx, "stream_port"), number(rx, "connections"));
	if (*problem) {
		fputs("problem:   ", stdout);
		print_clean(problem);
		putchar('\n');
	}
}
