/* SPDX-License-Identifier: Apache-2.0 */
/* The API's client: libcurl over the Unix socket. */
#include "api/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/codes.h"
#include "api/server.h"
#include "api/socket.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/state.h"
#include "base/text.h"

#define DEFAULT_PORT "8480"
#define ANSWER_MAX (256 << 20) /* of a JSON answer */

BR_DEFINE_CLEANUP(CURLU *, curl_url_cleanup);

static void curl_freep(char **p)
{
	curl_free(*p);
}

struct br_client {
	char *state, *socket;
	char *server;	   /* "https://lab:8480"; NULL: the socket */
	char *authorization; /* a header line with the token; NULL: none */
	CURL *curl;
	long patience_ms; /* of one request; 0: for ever */
	atomic_bool cancelled;
	char why[CURL_ERROR_SIZE]; /* curl's words for the last failure */
};

/* One request under way. */
struct transfer {
	struct br_client *client;
	struct br_text text; /* a JSON answer, or that of an error */
	bool too_large, told;
	br_client_data_fn fn;
	void *ctx;
	struct br_error *err;
	int r; /* what fn returned */
	const int *in_fd; /* bytes to send, NULL: none */
	const void *data; /* n_data bytes to send, NULL: none */
	size_t n_data;
};

/* "https://lab" to "https://lab:8480". */
static int set_server(struct br_client *c, const char *url, struct br_error *err)
{
	br_cleanup(curl_url_cleanupp) CURLU *u = curl_url();
	br_cleanup(curl_freep) char *port = NULL, *user = NULL, *path = NULL;
	char *whole = NULL, vis[200];

	if (!u)
		return br_error_set(err, ENOMEM, "out of memory");
	if ((!br_str_starts(url, "http://") && !br_str_starts(url, "https://")) || curl_url_set(u, CURLUPART_URL, url, 0) ||
		!curl_url_get(u, CURLUPART_USER, &user, 0) || curl_url_get(u, CURLUPART_PATH, &path, 0) || strcmp(path, "/") != 0)
		return br_error_set(err, EINVAL, "server '%s': a URL as http://HOST[:PORT] or https://HOST[:PORT] is needed",
			br_vis(vis, sizeof(vis), url, strlen(url)));
	if (curl_url_get(u, CURLUPART_PORT, &port, 0) == CURLUE_NO_PORT)
		curl_url_set(u, CURLUPART_PORT, DEFAULT_PORT, 0);
	if (curl_url_get(u, CURLUPART_URL, &whole, 0))
		return br_error_set(err, ENOMEM, "out of memory");
	whole[strlen(whole) - 1] = 0; /* the path */
	c->server = strdup(whole);
	curl_free(whole);
	return c->server ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

/* $BRAMBLE_TOKEN, or what is in the file that $BRAMBLE_TOKEN_FILE names. */
static int set_token(struct br_client *c, struct br_error *err)
{
	const char *token = getenv("BRAMBLE_TOKEN"), *path = getenv("BRAMBLE_TOKEN_FILE");
	br_cleanup(br_freep) char *text = NULL;
	size_t n;
	int r;

	if (path && path[0]) {
		r = br_file_read(path, 4096, &text, &n, err);
		if (r < 0)
			return br_error_prefix(err, "token");
		token = text;
	}
	if (!token || !token[0])
		return 0;
	n = strcspn(token, " \t\r\n");
	c->authorization = br_asprintf("Authorization: Bearer %.*s", (int)n, token);
	return c->authorization ? 0 : br_error_set(err, ENOMEM, "out of memory");
}

int br_client_new(const char *state, struct br_client **ret, struct br_error *err)
{
	struct br_client *c = calloc(1, sizeof(*c));
	const char *server = state ? NULL : getenv("BRAMBLE_SERVER");
	int r;

	if (!c)
		return br_error_set(err, ENOMEM, "out of memory");
	r = br_state_dir(state, &c->state, err);
	if (r >= 0 && server && server[0]) {
		r = set_server(c, server, err);
		if (r >= 0)
			r = set_token(c, err);
	}
	if (r >= 0) {
		c->socket = br_api_socket_path(c->state);
		c->curl = curl_easy_init();
		if (!c->socket || !c->curl)
			r = br_error_set(err, ENOMEM, "out of memory");
	}
	if (r < 0) {
		br_client_free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void br_client_free(struct br_client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	if (client->authorization)
		explicit_bzero(client->authorization, strlen(client->authorization));
	free(client->authorization);
	free(client->server);
	free(client->socket);
	free(client->state);
	free(client);
}

void br_client_patience(struct br_client *client, unsigned ms)
{
	client->patience_ms = (long)ms;
}

void br_client_cancel(struct br_client *client)
{
	atomic_store(&client->cancelled, true);
}

const char *br_client_state(const struct br_client *client)
{
	return client->server ? client->server : client->state;
}

char *br_client_escape(const char *s)
{
	struct br_text out = BR_TEXT_NULL;

	for (; *s; s++) {
		if ((*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9') ||
			strchr("-._~", *s))
			br_text_add_bytes(&out, s, 1);
		else
			br_text_addf(&out, "%%%02X", (unsigned char)*s);
	}
	return br_text_take(&out);
}

static long status_of(CURL *curl)
{
	long status = 0;

	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	return status;
}

static size_t take_data(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	curl_off_t total = 0;

	if (!t->fn || status_of(t->client->curl) >= 300) {
		t->too_large = t->text.len + n > ANSWER_MAX;
		if (t->too_large)
			return 0;
		br_text_add_bytes(&t->text, data, n);
		return t->text.failed ? 0 : n;
	}
	curl_easy_getinfo(t->client->curl, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &total);
	t->r = t->fn(t->ctx, data, n, total > 0 ? (uint64_t)total : 0, t->err);
	return t->r ? 0 : n;
}

/* curl asks at least once a second. */
static int is_cancelled(void *ctx, curl_off_t dltotal, curl_off_t dlnow, curl_off_t ultotal, curl_off_t ulnow)
{
	struct br_client *c = ctx;

	return atomic_load(&c->cancelled);
}

static size_t give_data(char *data, size_t size, size_t n, void *ctx)
{
	struct transfer *t = ctx;
	ssize_t k = read(*t->in_fd, data, size * n);

	if (k < 0)
		t->r = br_error_set(t->err, errno, "the file cannot be read: %s", strerrordesc_np(errno));
	return k < 0 ? CURL_READFUNC_ABORT : (size_t)k;
}

static int no_daemon(struct br_client *c, struct br_error *err)
{
	if (c->server)
		return br_error_set(err, ECONNREFUSED, "no daemon answers on %s; is it running, is its web page not off, and is the port right?",
			c->server);
	if (errno == EACCES)
		return br_error_set(err, EACCES, "socket %s: permission denied; use sudo, or join its group",
			c->socket);
	return br_error_set(err, ECONNREFUSED, "no daemon answers on %s: start one with 'bramble serve'", c->state);
}

/* Why curl gave up, as an errno with words. */
static int curl_failed(struct transfer *t, CURLcode code)
{
	struct br_client *c = t->client;

	if (t->r && ((code == CURLE_WRITE_ERROR && t->fn) || code == CURLE_ABORTED_BY_CALLBACK))
		return t->r;
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return br_error_set(t->err, ECANCELED, "cancelled");
	if (code == CURLE_WRITE_ERROR)
		return br_error_set(t->err, t->too_large ? EFBIG : ENOMEM, "the daemon's answer is too large");
	if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST) {
		errno = !c->server && access(c->socket, W_OK) < 0 ? errno : ECONNREFUSED;
		return no_daemon(c, t->err);
	}
	if (code == CURLE_OPERATION_TIMEDOUT)
		return br_error_set(t->err, ETIMEDOUT, "the daemon on %s does not answer", br_client_state(c));
	if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE)
		return br_error_set(t->err, EACCES, "the certificate of %s is not trusted: %s; give its authority's with --cacert", c->server,
			c->why[0] ? c->why : curl_easy_strerror(code));
	return br_error_set(t->err, ECONNRESET, "the daemon on %s broke off: %s", br_client_state(c), curl_easy_strerror(code));
}

/* The daemon's own words for a status that is none of success. */
static int daemon_refused(struct transfer *t, long status)
{
	json_t *json = t->text.buf ? json_loadb(t->text.buf, t->text.len, 0, NULL) : NULL;
	const char *words = json_string_value(json_object_get(json, "error"));
	int code = br_api_code_by_word(json_string_value(json_object_get(json, "code")))->code;

	if (words)
		br_error_set(t->err, code, "%s", words);
	else
		br_error_set(t->err, code, "the daemon answered with HTTP status %ld", status);
	json_decref(json);
	return -code;
}

/* Whose boards these are is shown with each request, when the user has told us. */
static struct curl_slist *add_reservation(struct curl_slist *headers)
{
	const char *ids = getenv("BRAMBLE_RESERVATION");
	br_cleanup(br_freep) char *line = NULL;

	if (!ids || !ids[0] || strspn(ids, "abcdefghijklmnopqrstuvwxyz0123456789-, ") != strlen(ids))
		return headers; /* what is no ID is nobody's */
	line = br_asprintf("Bramble-Reservation: %s", ids);
	return line ? curl_slist_append(headers, line) : headers;
}

/* Where the request goes: the socket, or another machine. */
static void set_way(struct br_client *c, const char *socket)
{
	const char *ca = getenv("BRAMBLE_CACERT");

	curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->why);
	if (!c->server)
		curl_easy_setopt(c->curl, CURLOPT_UNIX_SOCKET_PATH, socket);
	else
		curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, 15L);
	if (c->server && ca && ca[0])
		curl_easy_setopt(c->curl, CURLOPT_CAINFO, ca);
}

static int perform(struct transfer *t, const char *method, const char *path, const char *body)
{
	struct br_client *c = t->client;
	br_cleanup(br_freep) char *url = br_asprintf("%s%s", c->server ? c->server : "http://bramble", path);
	struct curl_slist *headers = curl_slist_append(NULL,
		t->in_fd || t->data ? "Content-Type: application/octet-stream" : "Content-Type: application/json");
	br_cleanup(br_closep) int dir_fd = -1;
	char socket[108];
	long status;
	CURLcode code;
	int r = c->server ? 0 : br_api_socket_short(c->socket, &dir_fd, socket, sizeof(socket), NULL);

	headers = curl_slist_append(headers, "Expect:"); /* no pause before a body */
	headers = add_reservation(headers);
	if (c->authorization)
		headers = curl_slist_append(headers, c->authorization);
	if (r < 0 || !url) {
		curl_slist_free_all(headers);
		errno = -r;
		return no_daemon(c, t->err);
	}
	curl_easy_reset(c->curl);
	set_way(c, socket);
	curl_easy_setopt(c->curl, CURLOPT_URL, url);
	curl_easy_setopt(c->curl, CURLOPT_PROXY, "");
	curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c->curl, CURLOPT_TIMEOUT_MS, c->patience_ms);
	curl_easy_setopt(c->curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFOFUNCTION, is_cancelled);
	curl_easy_setopt(c->curl, CURLOPT_XFERINFODATA, c);
	curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c->curl, CURLOPT_BUFFERSIZE, 262144L);
	curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_data);
	curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, t);
	if (body)
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body);
	if (t->data) {
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE, (long)t->n_data);
		curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, t->data);
	}
	if (t->in_fd) { /* of unknown length, in chunks: a file may grow meanwhile */
		curl_easy_setopt(c->curl, CURLOPT_UPLOAD, 1L);
		curl_easy_setopt(c->curl, CURLOPT_UPLOAD_BUFFERSIZE, 262144L);
		curl_easy_setopt(c->curl, CURLOPT_READFUNCTION, give_data);
		curl_easy_setopt(c->curl, CURLOPT_READDATA, t);
	}
	code = curl_easy_perform(c->curl);
	status = status_of(c->curl);
	curl_slist_free_all(headers);
	if (code != CURLE_OK)
		return curl_failed(t, code);
	return status >= 300 ? daemon_refused(t, status) : 0;
}

/* The end of a transfer that went as r says: its text as JSON, where somebody wants it. */
static int take_answer(struct transfer *t, int r, json_t **ret)
{
	if (r >= 0 && ret) {
		*ret = t->text.buf ? json_loadb(t->text.buf, t->text.len, 0, NULL) : NULL;
		if (!*ret)
			r = br_error_set(t->err, EIO, "the daemon's answer is no JSON; is it another version?");
	}
	br_text_done(&t->text);
	return r;
}

int br_client_call(struct br_client *client, const char *method, const char *path, const json_t *body, json_t **ret,
	struct br_error *err)
{
	struct transfer t = { .client = client, .err = err };
	br_cleanup(br_freep) char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;

	if (body && !text)
		return br_error_set(err, ENOMEM, "out of memory");
	return take_answer(&t, perform(&t, method, path, text), ret);
}

int br_client_upload(struct br_client *client, const char *path, int fd, json_t **ret, struct br_error *err)
{
	struct transfer t = { .client = client, .err = err, .in_fd = &fd };

	return take_answer(&t, perform(&t, "PUT", path, NULL), ret);
}

int br_client_send(struct br_client *client, const char *method, const char *path, const void *data, size_t n, json_t **ret,
	struct br_error *err)
{
	struct transfer t = { .client = client, .err = err, .data = data, .n_data = n };

	return take_answer(&t, perform(&t, method, path, NULL), ret);
}

int br_client_stream(struct br_client *client, const char *path, br_client_data_fn fn, void *ctx,
	struct br_error *err)
{
	struct transfer t = { .client = client, .fn = fn, .ctx = ctx, .err = err };
	int r = perform(&t, "GET", path, NULL);

	br_text_done(&t.text);
	return r;
}
