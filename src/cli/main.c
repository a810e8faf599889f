/* SPDX-License-Identifier: Apache-2.0 */
/* The command table: finds the command, prints help and usage. */
#include "cli/cli.h"

#include <ctype.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/text.h"
#include "cli/usbboot.h"

/* A file of src/cli with commands adds its table here; help shows them in this order. */
static const struct br_command own[];
static const struct br_command *const tables[] = {
	br_cli_image,
	br_cli_image_layers,
	br_cli_image_check,
	br_cli_board,
	br_cli_event,
	br_cli_log,
	br_cli_disk_list,
	br_cli_disk,
	br_cli_disk_cp,
	br_cli_disk_export,
	br_cli_layers,
	br_cli_disk_shell,
	br_cli_share,
	br_cli_why,
	br_cli_console,
	br_cli_ssh,
	br_cli_flash,
	br_cli_reserve,
	br_cli_uboot,
	br_cli_usb,
	br_cli_usb_watch,
	br_cli_power,
	br_cli_power_set,
	br_cli_power_find,
	br_cli_eeprom,
	br_cli_sign,
	br_cli_sim,
	br_cli_import,
	br_cli_token,
	br_cli_top,
	br_cli_backup,
	br_cli_check,
	br_cli_prepare,
	br_cli_serve,
	br_cli_misc,
	own,
};

const struct br_command *br_cli_current;

#define FOR_EACH_COMMAND(c)                                     \
	for (size_t t_ = 0; t_ < BR_ARRAY_SIZE(tables); t_++)   \
		for (const struct br_command *c = tables[t_]; c->verb; c++)

/* "board edit" or "serve" */
static void print_name(FILE *f, const struct br_command *c)
{
	fprintf(f, "bramble %s%s%s", c->noun ? c->noun : "", c->noun ? " " : "", c->verb);
}

static void print_usage(FILE *f, const struct br_command *c)
{
	print_name(f, c);
	if (c->args && c->args[0])
		fprintf(f, " %s", c->args);
}

int br_cli_usage(const char *fmt, ...)
{
	va_list ap;

	if (br_cli_current)
		print_name(stderr, br_cli_current);
	else
		fputs("bramble", stderr);
	fputs(": ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (br_cli_current) {
		fputs("; usage: ", stderr);
		print_usage(stderr, br_cli_current);
	}
	fputc('\n', stderr);
	return BR_EXIT_USAGE;
}

int br_cli_fail(enum br_exit code, const char *fmt, ...)
{
	va_list ap;

	fputs("bramble: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	return code;
}

int br_cli_bad_option(int argc, char **argv, int c)
{
	char vis[80];
	const char *word = optind > 0 && optind <= argc ? argv[optind - 1] : "";

	if (c == ':')
		return br_cli_usage("option '%s' needs a value", br_vis(vis, sizeof(vis), word, strlen(word)));
	if (optopt && br_str_starts(word, "--"))
		return br_cli_usage("option '%s' takes no value", br_vis(vis, sizeof(vis), word, strlen(word)));
	if (optopt)
		return br_cli_usage("unknown option '-%c'", isprint(optopt) ? optopt : '?');
	return br_cli_usage("unknown option '%s'", br_vis(vis, sizeof(vis), word, strlen(word)));
}

static bool is_noun(const char *word)
{
	FOR_EACH_COMMAND(c) {
		if (c->noun && !strcmp(c->noun, word))
			return true;
	}
	return false;
}

static const struct br_command *find(const char *noun, const char *verb)
{
	FOR_EACH_COMMAND(c) {
		bool same_noun = noun ? c->noun && !strcmp(c->noun, noun) : !c->noun;

		if (same_noun && !strcmp(c->verb, verb))
			return c;
	}
	return NULL;
}

/* noun NULL: nouns and everyday verbs are meant; otherwise verbs of the noun. */
static int unknown_word(const char *noun, const char *word)
{
	const char *names[256];
	size_t n = 0;
	char vis[80];
	const char *best;

	FOR_EACH_COMMAND(c) {
		bool fits = noun ? c->noun && !strcmp(c->noun, noun) : true;

		if (fits && n < BR_ARRAY_SIZE(names))
			names[n++] = noun || !c->noun ? c->verb : c->noun;
	}
	best = br_nearest(word, names, n);
	br_vis(vis, sizeof(vis), word, strlen(word));
	if (best)
		return br_cli_fail(BR_EXIT_USAGE, "unknown %s '%s'; did you mean '%s%s%s'?",
			noun ? "verb" : "command", vis, noun ? noun : "", noun ? " " : "", best);
	return br_cli_fail(BR_EXIT_USAGE, "unknown %s '%s'; see 'bramble help%s%s'", noun ? "verb" : "command",
		vis, noun ? " " : "", noun ? noun : "");
}

static void print_commands(const char *noun)
{
	size_t width = 0;

	FOR_EACH_COMMAND(c) {
		size_t n = strlen(c->verb) + (c->noun ? strlen(c->noun) + 1 : 0);

		width = n > width ? n : width;
	}
	FOR_EACH_COMMAND(c) {
		int n;

		if (noun && (!c->noun || strcmp(c->noun, noun)))
			continue;
		n = printf("  %s%s%s", c->noun ? c->noun : "", c->noun ? " " : "", c->verb);
		printf("%*s  %s\n", (int)width + 2 - n, "", c->help);
	}
}

static const char common_help[] =
	"Everywhere:\n"
	"  --state DIR        state directory (else $BRAMBLE_STATE, /var/lib/bramble, or yours when not root)\n"
	"  --server URL       the daemon of another machine, before the command (else $BRAMBLE_SERVER); --token-file FILE or\n"
	"                     $BRAMBLE_TOKEN: what it lets you do; --cacert FILE: whom its certificate is trusted from\n"
	"  -h, --help         this text\n"
	"Lists also take:\n"
	"  -o, --output FORM  table, json or jsonl\n"
	"  -q, --quiet        only the names\n";

static int print_help_of(const struct br_command *c)
{
	fputs("Usage: ", stdout);
	print_usage(stdout, c);
	printf("\n\n%s.\n", c->help);
	if (c->details)
		printf("\n%s", c->details);
	fputs("\n  --state DIR        state directory (else $BRAMBLE_STATE, /var/lib/bramble, or yours when not root)\n",
		stdout);
	return BR_EXIT_OK;
}

static int print_help(void)
{
	fputs("bramble network-boots Raspberry Pi boards from stock images.\n\n"
	      "Usage: bramble [--state DIR] COMMAND ...\n\nCommands:\n",
		stdout);
	print_commands(NULL);
	printf("\n%s\nBOARDS is a name or a list of names: pi07, pi[01-24], pi[1,3],lab-x.\n"
	       "'bramble help COMMAND' tells more; the manual is bramble(1).\n",
		common_help);
	return BR_EXIT_OK;
}

/* help [NOUN [VERB]] */
static int help(int argc, char **argv)
{
	const struct br_command *c;

	if (argc < 2)
		return print_help();
	if (argc > 3)
		return br_cli_usage("too many words");
	c = find(NULL, argv[1]);
	if (c && argc == 2)
		return print_help_of(c);
	if (!is_noun(argv[1]))
		return unknown_word(NULL, argv[1]);
	if (argc == 2) {
		printf("Commands of 'bramble %s':\n", argv[1]);
		print_commands(argv[1]);
		return BR_EXIT_OK;
	}
	c = find(argv[1], argv[2]);
	return c ? print_help_of(c) : unknown_word(argv[1], argv[2]);
}

static int version(int argc, char **argv)
{
	puts("bramble " BRAMBLE_VERSION);
	return BR_EXIT_OK;
}

/* Commands of this file itself. */
static const struct br_command own[] = {
	{ NULL, "help", "[NOUN [VERB]]", "Explains the commands", help, NULL },
	{ NULL, "version", "", "Prints the version", version, NULL },
	{ 0 },
};

/* '--help' anywhere behind the command, up to '--'. */
static bool wants_help(int argc, char **argv)
{
	for (int i = 1; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
			return true;
	}
	return false;
}

static int run(const struct br_command *c, int argc, char **argv)
{
	int code;

	br_cli_current = c;
	if (wants_help(argc, argv))
		return print_help_of(c);
	optind = 0; /* getopt starts anew */
	opterr = 0;
	code = c->run(argc, argv);
	if (code == BR_EXIT_OK && (fflush(stdout) == EOF || ferror(stdout)))
		return br_cli_fail(BR_EXIT_FAILED, "standard output: cannot be written (full, or closed)");
	return code;
}

/* Options before the command, for all of them, as variables of the environment. */
static const struct {
	const char *option, *variable, *what;
} globals[] = {
	{ "--state", "BRAMBLE_STATE", "a directory" },
	{ "--server", "BRAMBLE_SERVER", "a URL, as https://lab:8480" },
	{ "--token-file", "BRAMBLE_TOKEN_FILE", "a file with a token in it" },
	{ "--cacert", "BRAMBLE_CACERT", "a file of certificates" },
	{ "--reservation", "BRAMBLE_RESERVATION", "an ID, as 'bramble reserve get' tells it" },
};

/* One of them, its value behind '=' or in the next word: 1, 0 when it is none, or -1 with *ret_code set. */
static int take_global(int argc, char **argv, int *i, int *ret_code)
{
	for (size_t k = 0; k < BR_ARRAY_SIZE(globals); k++) {
		const char *name = globals[k].option, *value;
		size_t n = strlen(name);

		if (!br_str_starts(argv[*i], name) || (argv[*i][n] && argv[*i][n] != '='))
			continue;
		value = argv[*i][n] ? argv[*i] + n + 1 : *i + 1 < argc ? argv[++*i] : "";
		++*i;
		if (!value[0]) {
			*ret_code = br_cli_fail(BR_EXIT_USAGE, "option '%s' needs %s", name, globals[k].what);
			return -1;
		}
		setenv(globals[k].variable, value, 1);
		if (!strcmp(name, "--state")) /* the daemon of that directory, wherever else one usually asks */
			unsetenv("BRAMBLE_SERVER");
		return 1;
	}
	return 0;
}

/* Returns how many words they took, or -1 with *ret_code set. */
static int global_options(int argc, char **argv, int *ret_code)
{
	int i = 1, r;

	while (i < argc && argv[i][0] == '-') {
		const char *word = argv[i];
		char vis[80];

		if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
			*ret_code = version(argc, argv);
			return -1;
		}
		if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
			*ret_code = print_help();
			return -1;
		}
		r = take_global(argc, argv, &i, ret_code);
		if (!r)
			*ret_code = br_cli_fail(BR_EXIT_USAGE, "unknown option '%s'; see 'bramble help'", br_vis(vis, sizeof(vis), word, strlen(word)));
		if (r <= 0)
			return -1;
	}
	return i;
}

/* Called as 'rpiboot', by a link: that tool. */
static bool is_rpiboot(const char *name)
{
	const char *slash = strrchr(name, '/');

	return !strcmp(slash ? slash + 1 : name, "rpiboot");
}

int br_cli_main(int argc, char **argv)
{
	int code = BR_EXIT_OK, first;
	const struct br_command *c;

	signal(SIGCHLD, SIG_DFL); /* ignored (a supervisor may hand that down), nobody could learn how a child ended */
	signal(SIGPIPE, SIG_IGN); /* a closed pipe or socket is an error of that write */
	if (is_rpiboot(argv[0]))
		return br_cli_rpiboot(argc, argv);
	first = global_options(argc, argv, &code);
	if (first < 0)
		return code;
	if (first >= argc) {
		print_help();
		return BR_EXIT_USAGE;
	}
	/* a noun that is also an everyday verb: 'flash list' and 'flash IMAGE BOARDS' */
	c = first + 1 < argc ? find(argv[first], argv[first + 1]) : NULL;
	if (c)
		return run(c, argc - first - 1, argv + first + 1);
	c = find(NULL, argv[first]);
	if (c)
		return run(c, argc - first, argv + first);
	if (!is_noun(argv[first]))
		return unknown_word(NULL, argv[first]);
	if (first + 1 >= argc || !strcmp(argv[first + 1], "--help") || !strcmp(argv[first + 1], "-h")) {
		printf("Commands of 'bramble %s':\n", argv[first]);
		print_commands(argv[first]);
		return first + 1 >= argc ? BR_EXIT_USAGE : BR_EXIT_OK;
	}
	c = find(argv[first], argv[first + 1]);
	if (!c)
		return unknown_word(argv[first], argv[first + 1]);
	return run(c, argc - first - 1, argv + first + 1);
}
