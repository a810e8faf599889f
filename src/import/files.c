/* SPDX-License-Identifier: Apache-2.0 */
/* Files on their way in: read, checked to be text, told apart by what is in them, and kept from including themselves. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "import/internal.h"

/* ---- the files of this machine ---- */

static int host_read(void *ctx, const char *path, char **ret, size_t *ret_len, struct br_error *err)
{
	struct stat st;

	/* a FIFO or a device would be waited for without end */
	if (!stat(path, &st) && !S_ISREG(st.st_mode))
		return br_error_set(err, S_ISDIR(st.st_mode) ? EISDIR : EINVAL, "%s: is no plain file", path);
	return br_file_read(path, BR_IMPORT_FILE_MAX, ret, ret_len, err);
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

void br_import_names_free(char **names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(names[i]);
	free(names);
}

static int host_list(void *ctx, const char *dir, char ***ret, size_t *ret_n, struct br_error *err)
{
	DIR *d = opendir(dir);
	char **names = NULL;
	size_t n = 0, cap = 0;
	int r = 0;

	if (!d)
		return br_error_set(err, errno, "directory %s: %s", dir, strerrordesc_np(errno));
	for (struct dirent *e = readdir(d); e && !r; e = readdir(d)) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (n >= BR_IMPORT_RECORDS_MAX)
			r = br_error_set(err, EFBIG, "directory %s: has more than %d entries", dir, BR_IMPORT_RECORDS_MAX);
		else if (br_array_reserve(&names, &cap, n + 1, sizeof(names[0])) < 0 || !(names[n] = strdup(e->d_name)))
			r = br_error_set(err, ENOMEM, "out of memory");
		else
			n++;
	}
	closedir(d);
	if (r < 0) {
		br_import_names_free(names, n);
		return r;
	}
	if (n)
		qsort(names, n, sizeof(names[0]), compare_names);
	*ret = names;
	*ret_n = n;
	return 0;
}

static char *host_real(void *ctx, const char *path)
{
	return realpath(path, NULL);
}

static const struct br_import_io host_io = { .read = host_read, .list = host_list, .real = host_real };

int br_import_new(const struct br_import_how *opt, struct br_import **ret, struct br_error *err)
{
	struct br_import *im = calloc(1, sizeof(*im));

	if (im)
		im->root = strdup(opt->root && strcmp(opt->root, "/") ? opt->root : "");
	if (!im || !im->root) {
		free(im);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	im->all = opt->all;
	im->io = opt->io ? opt->io : &host_io;
	*ret = im;
	return 0;
}

char *br_import_locate(const struct br_import *im, const char *path)
{
	char *out = path[0] == '/' ? br_asprintf("%s%s", im->root, path) : strdup(path);
	size_t n = out ? strlen(out) : 0;

	while (n > 1 && out[n - 1] == '/')
		out[--n] = 0;
	return out;
}

/* ---- lines ---- */

char *br_import_line(struct br_import_file *f)
{
	char *line = f->next, *end;

	if (!line)
		return NULL;
	end = strchr(line, '\n');
	f->next = NULL;
	if (end) {
		*end = 0;
		f->next = end[1] ? end + 1 : NULL;
		if (end > line && end[-1] == '\r')
			end[-1] = 0;
	}
	f->line++;
	return line;
}

char *br_import_long_line(struct br_import_file *f)
{
	char *line = br_import_line(f);
	size_t n = line ? strlen(line) : 0;

	while (n && line[n - 1] == '\\' && f->next) {
		size_t more;
		char *next = br_import_line(f);

		line[n - 1] = ' ';
		more = strlen(next);
		memmove(line + n, next, more + 1);
		n += more;
	}
	return line;
}

/* What every reader may rely on: no NUL bytes, no line beyond the limit. */
static int check_text(const char *path, const char *text, size_t len, struct br_error *err)
{
	unsigned line = 1;

	for (const char *p = text, *end = text + len; p < end; line++) {
		const char *stop = memchr(p, '\n', (size_t)(end - p));
		size_t n = (size_t)((stop ? stop : end) - p);

		if (memchr(p, 0, n))
			return br_error_set(err, EINVAL, "%s:%u: there is a NUL byte in it: this is no text", path, line);
		if (n > BR_IMPORT_LINE_MAX)
			return br_error_set(err, EFBIG, "%s:%u: the line is longer than %u characters; no such file is written by people",
				path, line, BR_IMPORT_LINE_MAX);
		p += n + 1;
	}
	return 0;
}

char *br_import_text(struct br_import *im, const char *path)
{
	char *text = NULL;
	size_t len = 0;

	if (im->io->read(im->io->ctx, path, &text, &len, NULL) < 0)
		return NULL;
	if (check_text(path, text, len, NULL) < 0) {
		free(text);
		return NULL;
	}
	return text;
}

/* ---- one file ---- */

int br_import_add_file(struct br_import *im, const char *path, const char *format, unsigned *ret, struct br_error *err)
{
	for (size_t i = 0; i < im->n_files; i++)
		if (!strcmp(im->files[i].path, path)) {
			*ret = (unsigned)i;
			return 0;
		}
	if (im->n_files >= BR_IMPORT_FILES_MAX)
		return br_error_set(err, EFBIG, "%s: these are more than %d files", path, BR_IMPORT_FILES_MAX);
	if (br_array_reserve(&im->files, &im->cap_files, im->n_files + 1, sizeof(im->files[0])) < 0 ||
		!(im->files[im->n_files].path = strdup(path)))
		return br_error_set(err, ENOMEM, "out of memory");
	im->files[im->n_files].format = format;
	*ret = (unsigned)im->n_files++;
	return 0;
}

static int read_open(struct br_import *im, const char *path, char *text, size_t len, const char *format, br_import_reader read,
	void *ctx, struct br_error *err)
{
	br_cleanup(br_freep) char *real = im->io->real(im->io->ctx, path);
	struct br_import_open open = { .real = real ? real : path, .by = im->open,
		.depth = im->open ? im->open->depth + 1 : 1 };
	struct br_import_file f = { .im = im, .path = path, .text = text, .next = text[0] ? text : NULL };
	int r = check_text(path, text, len, err);

	for (const struct br_import_open *o = im->open; o && r >= 0; o = o->by)
		if (!strcmp(o->real, open.real))
			r = br_error_set(err, ELOOP, "%s: it includes itself, by way of other files or not; take one 'include' out", path);
	if (r >= 0 && open.depth > BR_IMPORT_DEPTH_MAX)
		r = br_error_set(err, ELOOP, "%s: files include each other %d deep", path, BR_IMPORT_DEPTH_MAX);
	if (r >= 0)
		r = br_import_add_file(im, path, format, &f.file, err);
	if (r < 0)
		return r;
	im->open = &open;
	r = read(&f, ctx, err);
	im->open = open.by;
	if (r >= 0 && im->no_memory)
		r = br_error_set(err, EFBIG, "%s: more than %d entries, or memory is out", path, BR_IMPORT_RECORDS_MAX);
	return r < 0 ? r : 0;
}

static bool was_read(const struct br_import *im, const char *path, const char *format)
{
	for (size_t i = 0; i < im->n_files; i++)
		if (!strcmp(im->files[i].path, path) && !strcmp(im->files[i].format, format))
			return true;
	return false;
}

/* By the path that leads to it; read_open() looks behind links. */
static bool is_open(const struct br_import *im, const char *path)
{
	br_cleanup(br_freep) char *real = im->io->real(im->io->ctx, path);

	for (const struct br_import_open *o = im->open; o; o = o->by)
		if (!strcmp(o->real, real ? real : path))
			return true;
	return false;
}

int br_import_include(struct br_import *im, struct br_import_place at, const char *path, const char *format, br_import_reader read,
	void *ctx, bool must, struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;
	struct br_error why = BR_ERROR_NULL;
	size_t len = 0;
	int r;

	if (was_read(im, path, format) && !is_open(im, path))
		return 0; /* by another way */
	r = im->io->read(im->io->ctx, path, &text, &len, &why);
	if (r < 0 && !must && r != -EFBIG && r != -ENOMEM) {
		br_import_say(im, BR_IMPORT_LEFT, at, path, "%s", r == -ENOENT ? "there is no such file here" : br_error_text(&why, r));
		return 0;
	}
	if (r < 0)
		return br_error_set(err, -r, "%s", br_error_text(&why, r));
	return read_open(im, path, text, len, format, read, ctx, err);
}

/* ---- telling kinds apart ---- */

static const struct kind {
	const char *format;
	br_import_reader read;
} kinds[] = {
	{ "dnsmasq", br_import_dnsmasq }, { "dhcpd", br_import_dhcpd }, { "exports", br_import_exports },
	{ "hosts", br_import_hosts }, { "ethers", br_import_ethers }, { "csv", br_import_csv },
};
enum { DNSMASQ, DHCPD, EXPORTS, HOSTS, ETHERS, CSV, KINDS };

static bool word_is_mac(const char *w, size_t n)
{
	char text[BR_MAC_TEXT];
	struct br_mac mac;

	if (n >= sizeof(text) || n < 11)
		return false;
	memcpy(text, w, n);
	text[n] = 0;
	return br_mac_parse(text, &mac) == 0;
}

static bool word_is_ip(const char *w, size_t n)
{
	char text[64];
	uint32_t ip;

	if (n >= sizeof(text))
		return false;
	memcpy(text, w, n);
	text[n] = 0;
	return br_ip_parse(text, &ip) == 0 || (memchr(w, ':', n) && strspn(text, "0123456789abcdefABCDEF:.%") == n);
}

static const char *const dnsmasq_words[] = { "dhcp-", "tftp-", "pxe-", "enable-tftp", "conf-dir", "conf-file", "no-", "interface=",
	"bind-", "except-interface", "addn-hosts", "listen-address", "port=", "log-", "domain-needed", "bogus-priv", "read-ethers",
	"domain=", "server=", "address=", "expand-hosts", "strict-order", "cache-size", "local=" };
static const char *const dhcpd_words[] = { "subnet ", "host ", "group", "option ", "default-lease-time", "max-lease-time",
	"authoritative", "ddns-", "class ", "include ", "shared-network", "next-server", "filename ", "allow ", "deny ", "log-facility",
	"pool", "hardware ", "fixed-address", "range ", "}" };

static bool starts_with_one(const char *line, const char *const *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (br_str_starts(line, words[i]))
			return true;
	return false;
}

/* One line's vote; KINDS: it says nothing. */
static size_t kind_of_line(const char *line)
{
	size_t n = strcspn(line, " \t"), rest = strspn(line + n, " \t");

	if (!line[0] || line[0] == '#')
		return KINDS;
	if (starts_with_one(line, dnsmasq_words, BR_ARRAY_SIZE(dnsmasq_words)))
		return DNSMASQ;
	if (starts_with_one(line, dhcpd_words, BR_ARRAY_SIZE(dhcpd_words)) && strpbrk(line, ";{}"))
		return DHCPD;
	if ((line[0] == '/' || line[0] == '"') && (strchr(line, '(') || rest))
		return EXPORTS;
	if (word_is_ip(line, n) && rest && line[n + rest])
		return HOSTS;
	if (word_is_mac(line, n) && rest && line[n + rest])
		return ETHERS;
	return strpbrk(line, ",;\t") ? CSV : KINDS;
}

/* Most votes; a name that says it decides where nothing in the file does. */
static const struct kind *kind_of(const char *path, const char *text)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
	size_t votes[KINDS] = { 0 }, best = KINDS;
	unsigned lines = 0;

	if (br_str_ends(name, ".csv") || br_str_ends(name, ".tsv"))
		return &kinds[CSV];
	for (const char *p = text; *p && lines < 2000; lines++) {
		size_t n = strcspn(p, "\n"), skip = strspn(p, " \t\r");
		char line[200];
		size_t k, keep;

		skip = skip < n ? skip : n;
		keep = n - skip < sizeof(line) - 1 ? n - skip : sizeof(line) - 1;
		memcpy(line, p + skip, keep);
		line[keep] = 0;
		k = kind_of_line(line);
		if (k < KINDS)
			votes[k]++;
		p += n + (p[n] == '\n');
	}
	for (size_t i = 0; i < KINDS; i++)
		if (votes[i] && (best == KINDS || votes[i] > votes[best]))
			best = i;
	for (size_t i = 0; best == KINDS && i < KINDS; i++)
		if (strcasestr(name, kinds[i].format))
			best = i; /* nothing but comments in it */
	return best < KINDS ? &kinds[best] : NULL;
}

static int read_file(struct br_import *im, const char *path, struct br_error *err)
{
	br_cleanup(br_freep) char *text = NULL;
	const struct kind *kind;
	size_t len = 0;
	int r = im->io->read(im->io->ctx, path, &text, &len, err);

	if (r >= 0)
		r = check_text(path, text, len, err);
	if (r < 0)
		return r;
	kind = kind_of(path, text);
	if (!kind)
		return br_error_set(err, EINVAL, "%s: is none of those known (dnsmasq, ISC dhcpd, exports, hosts, ethers, CSV); for a CSV "
			"a first line with names is wanted: name,mac,serial,address,image,model,tags", path);
	return read_open(im, path, text, len, kind->format, kind->read, NULL, err);
}

/* ---- directories ---- */

/* Where set-ups keep their files; of those that are there all are read. */
static const struct {
	const char *path;
	size_t kind; /* KINDS: a tree */
	bool dir;    /* each file in it */
} places[] = {
	{ "/etc/dnsmasq.conf", DNSMASQ, false }, { "/etc/dnsmasq.d", DNSMASQ, true }, { "/etc/dhcp/dhcpd.conf", DHCPD, false },
	{ "/etc/dhcpd.conf", DHCPD, false }, { "/etc/exports", EXPORTS, false }, { "/etc/exports.d", EXPORTS, true },
	{ "/etc/hosts", HOSTS, false }, { "/etc/ethers", ETHERS, false }, { "/srv/tftp", KINDS, false }, { "/srv/tftpboot", KINDS, false },
	{ "/tftpboot", KINDS, false }, { "/var/lib/tftpboot", KINDS, false }, { "/srv/nfs", KINDS, false }, { "/nfs", KINDS, false },
	{ "/var/lib/piserver/tftp", KINDS, false }, { "/var/lib/piserver/os", KINDS, false },
};

static int read_each(struct br_import *im, const char *dir, size_t kind, struct br_error *err)
{
	char **names = NULL;
	size_t n = 0;
	int r = im->io->list(im->io->ctx, dir, &names, &n, NULL);

	if (r < 0)
		return 0;
	for (size_t i = 0; i < n && r >= 0; i++) {
		br_cleanup(br_freep) char *path = br_path_join(dir, names[i]);

		/* as Debian's packages leave them out */
		if (!path || names[i][0] == '.' || strpbrk(names[i], "~#") || strstr(names[i], ".dpkg-"))
			continue;
		r = br_import_include(im, (struct br_import_place){ 0 }, path, kinds[kind].format, kinds[kind].read, NULL, true, err);
		if (r == -EISDIR)
			r = 0;
	}
	br_import_names_free(names, n);
	return r;
}

/* A 'conf-dir' was there already, and knows better which files count. */
static bool reads_from(const struct br_import *im, const char *dir)
{
	size_t n = strlen(dir);

	for (size_t i = 0; i < im->n_files; i++)
		if (!strncmp(im->files[i].path, dir, n) && im->files[i].path[n] == '/')
			return true;
	return false;
}

/* A whole machine, or a copy of one: how many of the places are there. */
static int read_machine(struct br_import *im, struct br_error *err)
{
	int found = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(places); i++) {
		br_cleanup(br_freep) char *path = br_import_locate(im, places[i].path);
		struct br_error why = BR_ERROR_NULL;
		int r;

		if (!path)
			return br_error_set(err, ENOMEM, "out of memory");
		if (places[i].kind == KINDS) {
			r = br_import_tree(im, path, &why);
		} else if (places[i].dir) {
			r = reads_from(im, path) ? 0 : read_each(im, path, places[i].kind, &why);
		} else {
			r = br_import_include(im, (struct br_import_place){ 0 }, path, kinds[places[i].kind].format, kinds[places[i].kind].read,
				NULL, true, &why);
			found += r >= 0;
		}
		if (r == -ENOENT || r == -ENOTDIR)
			continue;
		if (r < 0)
			return br_error_set(err, -r, "%s", br_error_text(&why, r));
		found += r;
	}
	return found;
}

static bool is_dir(struct br_import *im, const char *path)
{
	char **names = NULL;
	size_t n = 0;

	if (im->io->list(im->io->ctx, path, &names, &n, NULL) < 0)
		return false;
	br_import_names_free(names, n);
	return true;
}

int br_import_path(struct br_import *im, const char *path, struct br_error *err)
{
	br_cleanup(br_freep) char *etc = br_path_join(path, "etc");
	br_cleanup(br_freep) char *root = NULL;
	int r;

	if (!etc)
		return br_error_set(err, ENOMEM, "out of memory");
	if (!is_dir(im, path))
		return read_file(im, path, err);
	if (is_dir(im, etc) && !im->root[0]) {
		root = strdup(strcmp(path, "/") ? path : "");
		if (!root)
			return br_error_set(err, ENOMEM, "out of memory");
		free(im->root);
		im->root = br_take(root);
		while (im->root[0] && br_str_ends(im->root, "/"))
			im->root[strlen(im->root) - 1] = 0;
	}
	r = is_dir(im, etc) ? read_machine(im, err) : 0;
	if (!r)
		r = br_import_tree(im, path, err);
	if (r)
		return r < 0 ? r : 0;
	return br_error_set(err, EINVAL, "directory %s: there are neither folders of boards in it (8 hexadecimal digits, or a MAC) nor NFS "
		"roots, nor is it the root of a machine with /etc/dnsmasq.conf, /etc/dhcp/dhcpd.conf or /etc/exports", path);
}
