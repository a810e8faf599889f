/* SPDX-License-Identifier: Apache-2.0 */
/* A payload out of the daemon, over its control socket. */
#include "cli/usbnet.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/client.h"
#include "api/usb.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define FILE_MS 20000 /* for a file, or its size: a boot.img is made at its first use */
#define BEGIN_MS 5000

struct br_usb_net {
	unsigned refs; /* atomic */
	pthread_mutex_t lock; /* a client is one thread's at a time */
	struct br_client *client;
	char *path, *chip;
	char board[64]; /* "": not known (yet) */
	char serial[BR_USB_SERIAL_MAX]; /* that it was asked for with */
	char *named, *firmware, *need; /* of the options, or NULL */
	bool silent;		       /* sizes had no answer: they are not asked for one after the other */
};

static void net_free(struct br_usb_net *net)
{
	br_client_free(net->client);
	pthread_mutex_destroy(&net->lock);
	free(net->path);
	free(net->chip);
	free(net->named);
	free(net->firmware);
	free(net->need);
	free(net);
}

void br_usb_net_unref(struct br_usb_net *net)
{
	if (net && !__atomic_sub_fetch(&net->refs, 1, __ATOMIC_ACQ_REL))
		net_free(net);
}

void br_usb_net_cancel(struct br_usb_net *net)
{
	br_client_cancel(net->client);
}

/* Who is it? Sets net->board. */
static int begin(struct br_usb_net *net, const char *board, const char *serial, const char *need, struct br_error *err)
{
	json_t *body = json_pack("{s:s, s:s, s:s*, s:s*, s:s*}", "path", net->path, "chip", net->chip, "board", board, "serial",
		serial && serial[0] ? serial : NULL, "need", need);
	json_t *answer = NULL;
	const char *name, *road;
	int r;

	if (!body)
		return br_error_set(err, ENOMEM, "out of memory");
	br_client_patience(net->client, BEGIN_MS);
	r = br_client_call(net->client, "POST", "/v1/usb/begin", body, &answer, err);
	json_decref(body);
	if (r < 0)
		return r;
	name = json_string_value(json_object_get(answer, "board"));
	road = json_string_value(json_object_get(answer, "road"));
	if (!name || br_strcpy(net->board, sizeof(net->board), name) < 0)
		r = br_error_set(err, EIO, "the daemon's answer names no board");
	else if (road && !strcmp(road, "local"))
		r = br_error_set(err, EPERM, "board %s is on road 'local', so its boot is left alone; 'bramble board edit %s --road net' "
			"changes that", name, name);
	json_decref(answer);
	return r;
}

/* An unnamed file on a disk, else in memory. */
static int temporary(void)
{
	const char *dir = getenv("TMPDIR");
	int fd = open(dir && dir[0] ? dir : "/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	return fd >= 0 ? fd : memfd_create("usb", MFD_CLOEXEC);
}

static int take(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	int r = br_write_all(*(int *)ctx, data, n);

	return r < 0 ? br_error_set(err, -r, "a file for the board cannot be put aside: %s; is $TMPDIR full?", strerror(-r)) : 0;
}

/* What a board would be told anyway are no words. */
static int no_file(int r, struct br_error *err)
{
	if (r == -ENOENT && err && br_str_ends(err->text, BR_API_NO_FILE))
		*err = BR_ERROR_NULL;
	return r;
}

static int get_file(struct br_usb_net *net, const char *name, int *ret_fd, struct br_error *err)
{
	br_cleanup(br_freep) char *n = br_client_escape(name), *b = br_client_escape(net->board), *url = NULL;
	br_cleanup(br_closep) int fd = -1;
	int r;

	url = n && b ? br_asprintf("/v1/usb/file?name=%s%s%s", n, b[0] ? "&board=" : "", b) : NULL;
	if (!url)
		return br_error_set(err, ENOMEM, "out of memory");
	fd = temporary();
	if (fd < 0)
		return br_error_set(err, errno, "a temporary file cannot be made: %m");
	br_client_patience(net->client, FILE_MS);
	r = no_file(br_client_stream(net->client, url, take, &fd, err), err);
	if (r >= 0)
		*ret_fd = br_take_fd(fd);
	return r;
}

/* A stage that tells its serial, after a ROM that did not. That it may not boot ends the session: -ENOENT would be a file's. */
static int begin_late(struct br_usb_net *net, const char *serial, struct br_error *err)
{
	int r = begin(net, NULL, serial, NULL, err);

	if (r == -ENOENT)
		return -ENODATA;
	return r < 0 ? r : br_strcpy(net->serial, sizeof(net->serial), serial);
}

static int fetch(void *ctx, const struct br_usb_who *who, const char *name, int *ret_fd, struct br_error *err)
{
	struct br_usb_net *net = ctx;
	int r = 0;

	pthread_mutex_lock(&net->lock);
	if (!net->board[0] && who->serial && who->serial[0] && strcmp(who->serial, net->serial) != 0)
		r = begin_late(net, who->serial, err);
	if (!r)
		r = get_file(net, name, ret_fd, err);
	pthread_mutex_unlock(&net->lock);
	return r;
}

static int take_total(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	*(uint64_t *)ctx = total;
	return 1; /* enough */
}

/* Locked. By the route that brings no boot further. */
static int ask_size(struct br_usb_net *net, const char *name, uint64_t *ret, struct br_error *err)
{
	br_cleanup(br_freep) char *n = br_client_escape(name), *b = br_client_escape(net->board), *url = NULL;
	uint64_t total = 0;
	int r;

	url = !n || !b ? NULL : b[0] ? br_asprintf("/v1/boards/%s/bootfile?name=%s", b, n) : br_asprintf("/v1/usb/file?name=%s", n);
	if (!url)
		return br_error_set(err, ENOMEM, "out of memory");
	br_client_patience(net->client, FILE_MS);
	r = no_file(br_client_stream(net->client, url, take_total, &total, err), err);
	net->silent = r == -ETIMEDOUT;
	if (r >= 0)
		*ret = total;
	return r < 0 ? r : 0;
}

static int size_of(void *ctx, const struct br_usb_who *who, const char *name, uint64_t *ret, struct br_error *err)
{
	struct br_usb_net *net = ctx;
	int r;

	pthread_mutex_lock(&net->lock);
	r = net->silent ? br_error_set(err, ETIMEDOUT, "the daemon does not answer") : ask_size(net, name, ret, err);
	pthread_mutex_unlock(&net->lock);
	return r;
}

static int copy(char **ret, const char *text)
{
	*ret = text ? strdup(text) : NULL;
	return text && !*ret ? -ENOMEM : 0;
}

int br_usb_net_new(const struct br_usb_net_options *opt, struct br_usb_net **ret, struct br_error *err)
{
	struct br_usb_net *net = calloc(1, sizeof(*net));
	int r;

	if (!net)
		return br_error_set(err, ENOMEM, "out of memory");
	net->refs = 1;
	pthread_mutex_init(&net->lock, NULL);
	r = br_client_new(opt->state, &net->client, err);
	if (!r && (copy(&net->path, opt->path) || copy(&net->chip, opt->chip) || copy(&net->named, opt->board) ||
			  copy(&net->firmware, opt->firmware) || copy(&net->need, opt->need)))
		r = br_error_set(err, ENOMEM, "out of memory");
	if (!r)
		r = br_strcpy(net->serial, sizeof(net->serial), opt->serial);
	if (r < 0) {
		br_usb_net_unref(net);
		return r;
	}
	*ret = net;
	return 0;
}

/* Nobody's: is there a daemon at all, and can its files start it? */
static int look(struct br_usb_net *net, struct br_error *err)
{
	uint64_t size;
	int r;

	br_client_patience(net->client, BEGIN_MS);
	r = br_client_call(net->client, "GET", "/v1/status", NULL, NULL, err);
	if (!r && net->need)
		r = ask_size(net, net->need, &size, err);
	return r;
}

static void release(void *ctx)
{
	br_usb_net_unref(ctx);
}

static void cancel(void *ctx)
{
	br_usb_net_cancel(ctx);
}

int br_usb_net_open(struct br_usb_net *net, struct br_usb_payload **ret, struct br_error *err)
{
	const struct br_usb_fetcher fetcher = { .fetch = fetch, .size = size_of, .cancel = cancel, .free = release, .ctx = net,
		.origin = "plan" };
	int r;

	pthread_mutex_lock(&net->lock);
	r = net->named || net->serial[0] ? begin(net, net->named, net->serial, net->need, err) : look(net, err);
	pthread_mutex_unlock(&net->lock);
	if (r == -ENOENT && net->need && (!err || !err->text[0] || strstr(err->text, net->need)))
		br_usb_firmware_wanted(net->need, err);
	if (r < 0)
		return r;
	__atomic_add_fetch(&net->refs, 1, __ATOMIC_RELAXED);
	r = br_usb_payload_fetch(&fetcher, br_asprintf("boot files of %s", net->board[0] ? net->board : "a board not known yet"),
		net->firmware, ret, err);
	if (r < 0)
		br_usb_net_unref(net);
	return r;
}
