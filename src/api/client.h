/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * The client's end of the control API. Errors of the daemon arrive with its words and the errno its "code"
 * stands for; -ECONNREFUSED: no daemon answers on the state directory; -ECONNRESET: it broke off.
 */
struct br_client;

/*
 * state: as --state (NULL: br_state_dir() decides). Opens no connection yet. Without one, $BRAMBLE_SERVER ("https://lab:8480") leads to
 * the daemon of another machine, with the token of $BRAMBLE_TOKEN or of the file $BRAMBLE_TOKEN_FILE; certificates are verified
 * by the system's authorities or those in $BRAMBLE_CACERT.
 */
int br_client_new(const char *state, struct br_client **ret, struct br_error *err);
void br_client_free(struct br_client *client);
/* The state directory, or the server's URL: for messages. */
const char *br_client_state(const struct br_client *client);
/* How long each later request may take as a whole; then -ETIMEDOUT. 0, as it is at first: for ever. */
void br_client_patience(struct br_client *client, unsigned ms);

/* From any thread: what it is about, and each later request, ends within about a second with -ECANCELED. */
void br_client_cancel(struct br_client *client);

/* One request. body is borrowed, may be NULL; ret (may be NULL) gets the answer, for json_decref(). */
int br_client_call(struct br_client *client, const char *method, const char *path, const json_t *body, json_t **ret,
	struct br_error *err);

/* GET of bytes, given to fn piece by piece as they come; fn returns 0 to go on, 1 to end (then so does this), or a
 * negative errno with words. total: what the daemon announced, 0 when it did not. */
typedef int (*br_client_data_fn)(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err);
int br_client_stream(struct br_client *client, const char *path, br_client_data_fn fn, void *ctx,
	struct br_error *err);

/* PUT of what fd gives up to its end. ret as in br_client_call(). */
int br_client_upload(struct br_client *client, const char *path, int fd, json_t **ret, struct br_error *err);

/* Bytes in memory as the body. ret as in br_client_call(). */
int br_client_send(struct br_client *client, const char *method, const char *path, const void *data, size_t n, json_t **ret,
	struct br_error *err);

/* Text made fit for a part of a path or a value of its query, in fresh memory (free()); NULL when memory is out. */
char *br_client_escape(const char *text);
