/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/logscript.h"

#include "base/addr.h"
#include "base/text.h"

/* POSIX sh. What carries the bytes is whatever the image has; of the many 'nc' each has another way to end with its input. */
static const char script[] =
	"#!/bin/sh\n"
	"# bramble-log STREAM: sends what it reads, line by line, to the log that bramble keeps of this board.\n"
	"# bramble-log STREAM TEXT...: sends one line.   Then: bramble log show BOARD --stream STREAM\n"
	"server=${BRAMBLE_LOG_SERVER:-%s} port=${BRAMBLE_LOG_PORT:-%u}\n"
	"stream=$1\n"
	"case $stream in\n"
	"'' | -* | *[!A-Za-z0-9._-]*)\n"
	"\techo 'usage: echo TEXT | bramble-log STREAM, or bramble-log STREAM TEXT (a stream has letters, digits, . _ -)' >&2\n"
	"\texit 2 ;;\n"
	"esac\n"
	"shift\n"
	"have() { command -v \"$1\" >/dev/null 2>&1; }\n"
	"lines() {\n"
	"\techo \"bramble-log 1 $stream\"\n"
	"\tif [ -n \"$text\" ]; then printf '%%s\\n' \"$text\"; else cat; fi\n"
	"}\n"
	"text=$*\n"
	"if have bash; then\n"
	"\tlines | exec bash -c 'exec 3<>\"/dev/tcp/$1/$2\" && exec cat >&3' bramble-log \"$server\" \"$port\"\n"
	"elif have nc; then\n"
	"\thelp=$(nc -h 2>&1)\n"
	"\tcase $help in\n"
	"\t*BusyBox*) lines | nc \"$server\" \"$port\" ;;\n"
	"\t*--send-only*) lines | nc --send-only \"$server\" \"$port\" ;;\n"
	"\t*-N*) lines | nc -N \"$server\" \"$port\" ;;\n"
	"\t*) lines | nc -q 1 \"$server\" \"$port\" ;;\n"
	"\tesac\n"
	"elif have busybox && busybox nc --help >/dev/null 2>&1; then\n"
	"\tlines | busybox nc \"$server\" \"$port\"\n"
	"elif have logger; then\n"
	"\tif [ -n \"$text\" ]; then printf '%%s\\n' \"$text\"; else cat; fi | logger -n \"$server\" -T -P 514 -t \"$stream\"\n"
	"else\n"
	"\techo 'bramble-log: needs bash, nc, busybox or logger' >&2\n"
	"\texit 1\n"
	"fi\n";

char *br_log_script(uint32_t ip, uint16_t port)
{
	char text[BR_IP_TEXT];

	return br_asprintf(script, br_ip_format(text, ip), port);
}
