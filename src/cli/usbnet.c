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
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define PATIENCE_MS 20000 /* of one answer: a boot.img is made at its first use */

struct net {
	pthread_mutex_t lock; /* a client is one thread's at a time */
	struct br_client *client;
	char *path, *chip;
	char board[64]; /* "": not known (yet) */
	char serial[64]; /* that it was asked for with */
};

static void net_free(void *ctx)
{
	struct net *net = ctx;

	br_client_free(net->client);
	pthread_mutex_destroy(&net->lock);
	free(net->path);
	free(net->chip);
	free(net);
}

/* Who is it? Sets net->board. */
static int begin(struct net *net, const char *board, const char *serial, struct br_error *err)
{
	json_t *body = json_pack("{s:s, s:s, s:s*, s:s*}", "path", net->path, "chip", net->chip, "board", board, "serial",
		serial && serial[0] ? serial : NULL);
	json_t *answer = NULL;
	const char *name, *road;
	int r;

	if (!body)
		return br_error_set(err, ENOMEM, "out of memory");
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

static int get_file(struct net *net, const char *name, int *ret_fd, struct br_error *err)
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
	r = br_client_stream(net->client, url, take, &fd, err);
	if (r == -EACCES)
		return -ENOENT; /* another board's directory: not there for this one */
	if (r >= 0)
		*ret_fd = br_take_fd(fd);
	return r;
}

static int fetch(void *ctx, const struct br_usb_who *who, const char *name, int *ret_fd, struct br_error *err)
{
	struct net *net = ctx;
	int r = 0;

	pthread_mutex_lock(&net->lock);
	/* a stage that tells its serial, after a ROM that did not */
	if (!net->board[0] && who->serial && who->serial[0] && strcmp(who->serial, net->serial) != 0) {
		br_strcpy(net->serial, sizeof(net->serial), who->serial);
		r = begin(net, NULL, who->serial, err);
	}
	if (!r)
		r = get_file(net, name, ret_fd, err);
	pthread_mutex_unlock(&net->lock);
	return r;
}

static int net_new(const struct br_usb_net_options *opt, struct net **ret, struct br_error *err)
{
	struct net *net = calloc(1, sizeof(*net));
	int r;

	if (!net)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_mutex_init(&net->lock, NULL);
	net->path = strdup(opt->path);
	net->chip = strdup(opt->chip);
	r = net->path && net->chip ? br_client_new(opt->state, &net->client, err) : br_error_set(err, ENOMEM, "out of memory");
	if (!r) {
		br_client_patience(net->client, PATIENCE_MS);
		br_strcpy(net->serial, sizeof(net->serial), opt->serial);
		if (opt->board || opt->serial[0])
			r = begin(net, opt->board, opt->serial, err);
		else
			r = br_client_call(net->client, "GET", "/v1/status", NULL, NULL, err); /* is there a daemon at all? */
	}
	if (r < 0) {
		net_free(net);
		return r;
	}
	*ret = net;
	return 0;
}

int br_usb_net_payload(const struct br_usb_net_options *opt, struct br_usb_payload **ret, struct br_error *err)
{
	struct br_usb_fetcher fetcher = { .fetch = fetch, .free = net_free, .origin = "plan" };
	struct net *net;
	int r = net_new(opt, &net, err);

	if (r < 0)
		return r;
	fetcher.ctx = net;
	r = br_usb_payload_fetch(&fetcher, br_asprintf("boot files of %s", net->board[0] ? net->board : "a board not known yet"),
		opt->firmware, ret, err);
	if (r < 0)
		net_free(net);
	return r;
}
