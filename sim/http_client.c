/* SPDX-License-Identifier: Apache-2.0 */
#include "sim/http_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

#define TIMEOUT (120 * BR_S)
#define AGENT	"rpiboot/1.0 (virtual board; bramble)"

static void fail(struct br_sim_http *h, const char *why)
{
	if (h->state != BR_SIM_HTTP_RUNNING)
		return;
	h->state = BR_SIM_HTTP_FAILED;
	snprintf(h->why, sizeof(h->why), "%s", why);
}

/* All is here: the rest is for the connection to end. */
static void complete(struct br_sim_http *h)
{
	h->whole = true;
	br_sim_tcp_close(&h->tcp);
}

/* The value of a field, case of its name ignored; NULL. */
static const char *field(const struct br_sim_http *h, const char *name)
{
	size_t n = strlen(name);

	for (const char *s = strstr(h->header, "\r\n"); s; s = strstr(s, "\r\n")) {
		s += 2;
		if (!strncasecmp(s, name, n) && s[n] == ':')
			return s + n + 1 + strspn(s + n + 1, " \t");
	}
	return NULL;
}

static void take_length(struct br_sim_http *h)
{
	const char *value = field(h, "content-length");
	unsigned long long n = value ? strtoull(value, NULL, 10) : 0;

	if (!value) {
		fail(h, "no Content-Length: this client takes no chunks");
	} else if (h->status == 206) {
		if (h->got + n != h->length)
			fail(h, "the rest of a Range has another length than the file");
	} else if (n > BR_SIM_HTTP_MAX) {
		fail(h, "more than 128 MiB: it does not fit into memory");
	} else {
		h->got = 0; /* no Range: from the beginning */
		h->length = n;
		free(h->data);
		h->data = h->head_only ? NULL : malloc(n + 1);
		if (!h->head_only && !h->data)
			fail(h, "out of memory");
		else if (h->data)
			h->data[n] = 0; /* boot.sig is read as text */
	}
}

static void take_header(struct br_sim_http *h)
{
	h->in_body = true;
	if (sscanf(h->header, "HTTP/1.%*1[01] %3u", &h->status) != 1) {
		fail(h, "the answer is no HTTP/1.0 or 1.1");
	} else if (h->status == 404) {
		h->state = BR_SIM_HTTP_MISSING;
	} else if (h->status != 200 && !(h->status == 206 && h->got)) {
		snprintf(h->why, sizeof(h->why), "status %u", h->status);
		h->state = BR_SIM_HTTP_FAILED;
	} else {
		take_length(h);
		if (h->state == BR_SIM_HTTP_RUNNING && (h->head_only || h->got == h->length))
			complete(h);
	}
}

static void take_body(struct br_sim_http *h, const uint8_t *p, size_t n)
{
	if (h->state != BR_SIM_HTTP_RUNNING || h->whole || !n)
		return;
	if (n > h->length - h->got) {
		fail(h, "more bytes than Content-Length said");
		return;
	}
	memcpy(h->data + h->got, p, n);
	h->got += n;
	if (h->got == h->length)
		complete(h);
}

static void on_data(void *ctx, const uint8_t *p, size_t n)
{
	struct br_sim_http *h = ctx;

	while (n && !h->in_body && h->state == BR_SIM_HTTP_RUNNING) {
		if (h->n_header == BR_SIM_HTTP_HEADER) {
			fail(h, "the header of the answer is longer than this client's buffer");
			return;
		}
		h->header[h->n_header++] = (char)*p++;
		n--;
		if (h->n_header >= 4 && !memcmp(h->header + h->n_header - 4, "\r\n\r\n", 4)) {
			h->header[h->n_header] = 0;
			take_header(h);
		}
	}
	if (h->in_body)
		take_body(h, p, n);
}

static void ask(struct br_sim_http *h, uint16_t port, uint32_t iss, uint64_t now_ns)
{
	char request[512], range[48] = "";
	int n;

	if (h->got)
		snprintf(range, sizeof(range), "Range: bytes=%llu-\r\n", (unsigned long long)h->got);
	n = snprintf(request, sizeof(request), "%s /%s HTTP/1.1\r\nhost: %s\r\nUser-Agent: " AGENT "\r\n%sConnection: close\r\n\r\n",
		h->head_only ? "HEAD" : "GET", h->path, h->host, range);
	h->n_header = 0;
	h->header[0] = 0;
	h->in_body = false;
	br_sim_tcp_connect(&h->tcp, port, h->server_port, iss, now_ns, on_data, h);
	if (n < 0 || (size_t)n >= sizeof(request) || br_sim_tcp_send(&h->tcp, request, (size_t)n) < 0)
		fail(h, "the request is too long");
}

void br_sim_http_start(struct br_sim_http *h, bool head_only, const char *host, const char *path, uint16_t port,
	uint16_t server_port, uint32_t iss, uint64_t now_ns)
{
	memset(h, 0, sizeof(*h));
	h->head_only = head_only;
	h->server_port = server_port;
	h->end_ns = now_ns + TIMEOUT;
	br_strcpy(h->host, sizeof(h->host), host);
	br_strcpy(h->path, sizeof(h->path), path);
	ask(h, port, iss, now_ns);
}

void br_sim_http_done(struct br_sim_http *h)
{
	free(h->data);
	memset(h, 0, sizeof(*h));
}

/* The connection is over before the file is: again, from where it was. */
static void resume(struct br_sim_http *h, uint64_t now_ns)
{
	const char *why = h->tcp.state == BR_SIM_TCP_FAILED && *h->tcp.why ? h->tcp.why : "the server hung up in the middle";

	if (h->n_resumes++ == BR_SIM_HTTP_RESUMES)
		fail(h, why);
	else
		ask(h, (uint16_t)(h->tcp.port + 1), h->tcp.first + 64000, now_ns);
}

static void settle(struct br_sim_http *h, uint64_t now_ns)
{
	if (h->state != BR_SIM_HTTP_RUNNING)
		return;
	if (h->whole && (h->tcp.state >= BR_SIM_TCP_ENDED || br_sim_tcp_peer_done(&h->tcp)))
		h->state = BR_SIM_HTTP_DONE;
	else if (now_ns >= h->end_ns)
		fail(h, "it takes too long");
	else if (!h->whole && (h->tcp.state >= BR_SIM_TCP_ENDED || br_sim_tcp_peer_done(&h->tcp)))
		resume(h, now_ns);
}

size_t br_sim_http_poll(struct br_sim_http *h, uint64_t now_ns, uint8_t out[static BR_SIM_TCP_MAX])
{
	size_t n;

	if (h->state > BR_SIM_HTTP_DONE && h->tcp.state == BR_SIM_TCP_OPEN)
		br_sim_tcp_abort(&h->tcp); /* not from within its callback */
	n = br_sim_tcp_poll(&h->tcp, now_ns, out);
	if (n)
		return n;
	settle(h, now_ns);
	return br_sim_tcp_poll(&h->tcp, now_ns, out);
}

void br_sim_http_input(struct br_sim_http *h, uint64_t now_ns, const uint8_t *segment, size_t len)
{
	br_sim_tcp_input(&h->tcp, now_ns, segment, len);
}

uint64_t br_sim_http_deadline(const struct br_sim_http *h)
{
	uint64_t t = br_sim_tcp_deadline(&h->tcp);

	return t < h->end_ns ? t : h->end_ns;
}
