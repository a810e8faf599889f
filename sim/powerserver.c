/* SPDX-License-Identifier: Apache-2.0 */
/* The power strip of the virtual boards. */
#include "sim/powerserver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/clock.h"
#include "base/text.h"

#define REQUEST_MAX 4096
#define PATIENCE_NS (10 * BR_S) /* for one request */

struct client {
	struct br_sim_power *power;
	int fd; /* -1: free */
	uint64_t end_ns;
	size_t n;
	char buf[REQUEST_MAX + 1];
};

struct br_sim_power {
	struct br_sim_power_config config;
	int fd;
	bool *on;
	struct client clients[BR_SIM_POWER_CLIENTS];
};

/* ---- what is asked ---- */

static void turn(struct br_sim_power *p, size_t i, bool on)
{
	p->on[i] = on;
	p->config.switched(p->config.ctx, i, on);
}

/* True: the word is an order, and was done. */
static bool obey(struct br_sim_power *p, size_t i, const char *word)
{
	if (!strcasecmp(word, "on") || !strcmp(word, "1")) {
		turn(p, i, true);
	} else if (!strcasecmp(word, "off") || !strcmp(word, "0")) {
		turn(p, i, false);
	} else if (!strcasecmp(word, "toggle") || !strcmp(word, "2")) {
		turn(p, i, !p->on[i]);
	} else if (!strcasecmp(word, "cycle")) {
		turn(p, i, false);
		turn(p, i, true);
	} else {
		return false;
	}
	return true;
}

/* cmnd=Power[N][ WORD], with %20 or + for the blank. The answer's length, or 0: it is no such command. */
static int tasmota(struct br_sim_power *p, const char *cmnd, char *out, size_t size)
{
	unsigned long n = 1;
	char *end;

	if (strncasecmp(cmnd, "Power", 5) != 0)
		return 0;
	cmnd += 5;
	if (*cmnd >= '0' && *cmnd <= '9') {
		n = strtoul(cmnd, &end, 10);
		cmnd = end;
	}
	if (!n || n > p->config.n_boards)
		return snprintf(out, size, "{\"Command\":\"Unknown\"}");
	if (br_str_starts(cmnd, "%20"))
		cmnd += 3;
	else if (*cmnd == '+')
		cmnd++;
	if (*cmnd && !obey(p, n - 1, cmnd))
		return snprintf(out, size, "{\"Command\":\"Error\"}");
	if (p->config.n_boards == 1)
		return snprintf(out, size, "{\"POWER\":\"%s\"}", p->on[0] ? "ON" : "OFF");
	return snprintf(out, size, "{\"POWER%lu\":\"%s\"}", n, p->on[n - 1] ? "ON" : "OFF");
}

/* /board/NAME/WORD */
static int generic(struct br_sim_power *p, char *name, char *out, size_t size)
{
	char *word = strchr(name, '/');

	if (!word)
		return 0;
	*word++ = 0;
	if (br_str_starts(name, "pi-"))
		name += 3;
	for (size_t i = 0; i < p->config.n_boards; i++) {
		if (strcasecmp(name, p->config.name(p->config.ctx, i)) != 0)
			continue;
		if (strcmp(word, "status") != 0 && !obey(p, i, word))
			return 0;
		return snprintf(out, size, "{\"board\":\"%s\",\"power\":\"%s\"}", name, p->on[i] ? "on" : "off");
	}
	return 0;
}

static void answer(struct client *c)
{
	char *path = strchr(c->buf, ' '), *end = path ? strpbrk(path + 1, " \r\n") : NULL, body[200], head[200];
	int n = 0, m;

	if (end) {
		*end = 0;
		path++;
		if (br_str_starts(path, "/cm?"))
			n = (path = strstr(path, "cmnd=")) ? tasmota(c->power, path + 5, body, sizeof(body)) : 0;
		else if (br_str_starts(path, "/board/"))
			n = generic(c->power, path + 7, body, sizeof(body));
	}
	m = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
		n ? "200 OK" : "404 Not Found", n);
	/* some hundred bytes: they fit the socket's buffer, or the client is gone */
	if (send(c->fd, head, (size_t)m, MSG_NOSIGNAL | (n ? MSG_MORE : 0)) < 0 ||
		(n && send(c->fd, body, (size_t)n, MSG_NOSIGNAL) < 0))
		return;
}

/* ---- connections ---- */

static void drop(struct client *c)
{
	close(c->fd);
	c->fd = -1;
}

static void on_client(void *ctx, short revents, uint64_t now_ns)
{
	struct client *c = ctx;
	ssize_t n = read(c->fd, c->buf + c->n, REQUEST_MAX - c->n);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		c->n += (size_t)n;
		c->buf[c->n] = 0;
		if (!strstr(c->buf, "\r\n\r\n")) {
			if (c->n < REQUEST_MAX)
				return;
		} else {
			answer(c);
		}
	}
	drop(c);
}

static void on_listener(void *ctx, short revents, uint64_t now_ns)
{
	struct br_sim_power *p = ctx;
	int fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	for (size_t i = 0; fd >= 0 && i < BR_SIM_POWER_CLIENTS; i++) {
		struct client *c = &p->clients[i];

		if (c->fd >= 0 && now_ns > c->end_ns)
			drop(c);
		if (c->fd < 0) {
			c->fd = fd;
			c->end_ns = now_ns + PATIENCE_NS;
			c->n = 0;
			return;
		}
	}
	if (fd >= 0)
		close(fd);
}

size_t br_sim_power_watches(struct br_sim_power *p, struct br_sim_watch *out)
{
	size_t n = 0;

	out[n++] = (struct br_sim_watch){ .fd = p->fd, .events = POLLIN, .ready = on_listener, .ctx = p };
	for (size_t i = 0; i < BR_SIM_POWER_CLIENTS; i++)
		if (p->clients[i].fd >= 0)
			out[n++] = (struct br_sim_watch){ .fd = p->clients[i].fd, .events = POLLIN, .ready = on_client,
				.ctx = &p->clients[i] };
	return n;
}

static int listen_at(const char *where, struct br_error *err)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const char *port = strrchr(where, ':');
	char host[32] = "";
	uint64_t n;
	uint32_t ip;
	int fd, one = 1;

	if (port && (size_t)(port - where) < sizeof(host))
		memcpy(host, where, (size_t)(port - where));
	if (br_parse_u64(port ? port + 1 : where, 1, 65535, &n) < 0 || (port && br_ip_parse(host, &ip) < 0))
		return br_error_set(err, EINVAL, "--power %s: [ADDRESS:]PORT is needed, as 8090 or 10.77.0.1:8090", where);
	if (port)
		a.sin_addr.s_addr = htonl(ip);
	a.sin_port = htons((uint16_t)n);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return br_error_set(err, errno, "--power: cannot make a socket: %m");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, BR_SIM_POWER_CLIENTS) < 0) {
		int r = br_error_set(err, errno, "--power %s: cannot listen there: %m", where);

		close(fd);
		return r;
	}
	return fd;
}

int br_sim_power_open(const struct br_sim_power_config *config, struct br_sim_power **ret, struct br_error *err)
{
	struct br_sim_power *p = calloc(1, sizeof(*p));
	int fd;

	if (p)
		p->on = calloc(config->n_boards, sizeof(*p->on));
	if (!p || !p->on) {
		free(p);
		return br_error_set(err, ENOMEM, "out of memory");
	}
	fd = listen_at(config->listen, err);
	if (fd < 0) {
		free(p->on);
		free(p);
		return fd;
	}
	p->config = *config;
	p->fd = fd;
	for (size_t i = 0; i < BR_SIM_POWER_CLIENTS; i++) {
		p->clients[i].fd = -1;
		p->clients[i].power = p;
	}
	*ret = p;
	return 0;
}

void br_sim_power_close(struct br_sim_power *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < BR_SIM_POWER_CLIENTS; i++)
		if (p->clients[i].fd >= 0)
			close(p->clients[i].fd);
	close(p->fd);
	free(p->on);
	free(p);
}

bool br_sim_power_is_on(const struct br_sim_power *p, size_t board)
{
	return p->on[board];
}
