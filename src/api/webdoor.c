/* SPDX-License-Identifier: Apache-2.0 */
/* Where the API listens by TCP: sockets, certificates, our names. */
#include "api/webdoor.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"

#define BACKLOG 1024
#define PEM_MAX (1u << 20)

/* "PORT" or "ADDR:PORT"; *ret_given: an address was. */
static int parse_where(const char *where, uint32_t *ret_ip, bool *ret_given, uint16_t *ret_port)
{
	const char *colon = strrchr(where, ':');
	uint64_t port;
	char ip[64];

	*ret_given = colon;
	if (colon) {
		if ((size_t)(colon - where) >= sizeof(ip))
			return -EINVAL;
		memcpy(ip, where, (size_t)(colon - where));
		ip[colon - where] = 0;
		if (br_ip_parse(ip, ret_ip) < 0)
			return -EINVAL;
	}
	if (br_parse_u64(colon ? colon + 1 : where, 0, 65535, &port) < 0)
		return -EINVAL;
	*ret_port = (uint16_t)port;
	return 0;
}

const char *br_web_where_check(const char *where)
{
	uint32_t ip;
	uint16_t port;
	bool given;

	return strcmp(where, "off") && parse_where(where, &ip, &given, &port) < 0 ? "must be a port, ADDRESS:PORT or off" : NULL;
}

static int listen_on(const struct sockaddr *sa, socklen_t len)
{
	br_cleanup(br_closep) int fd = socket(sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int yes = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) < 0 ||
		(sa->sa_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof(yes)) < 0) ||
		bind(fd, sa, len) < 0 || listen(fd, BACKLOG) < 0)
		return -errno;
	return br_take_fd(fd);
}

static int add_ip4(struct br_web_door *door, uint32_t ip)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(door->port), .sin_addr.s_addr = htonl(ip) };
	socklen_t len = sizeof(sa);
	int fd = listen_on((struct sockaddr *)&sa, len);

	if (fd < 0)
		return fd;
	door->fds[door->n_fds++] = fd;
	if (!door->port && !getsockname(fd, (struct sockaddr *)&sa, &len)) /* any: the one it got */
		door->port = ntohs(sa.sin_port);
	return 0;
}

/* A namespace may be without a loopback, a machine without IPv6. */
static int add_loopback(struct br_web_door *door)
{
	struct sockaddr_in6 sa = { .sin6_family = AF_INET6, .sin6_port = htons(door->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int r = add_ip4(door, INADDR_LOOPBACK), fd;

	if (r < 0 && r != -EADDRNOTAVAIL)
		return r;
	fd = listen_on((struct sockaddr *)&sa, sizeof(sa));
	if (fd >= 0)
		door->fds[door->n_fds++] = fd;
	else if (fd == -EADDRINUSE)
		return fd;
	return 0;
}

static int explain(int r, const struct br_web_door *door, struct br_error *err)
{
	if (r == -EADDRINUSE)
		return br_error_set(err, EADDRINUSE, "TCP port %u (web page and API) is in use ('ss -ltnp' shows by whom); give another with --web, or "
			"'--web off'", door->port);
	if (r == -EACCES)
		return br_error_set(err, EACCES, "TCP port %u (web page and API): not allowed; start as root, or give one from 1024 on with --web",
			door->port);
	return br_error_set(err, -r, "TCP port %u (web page and API): %s", door->port, strerrordesc_np(-r));
}

static int read_pem(const char *path, char **ret, struct br_error *err)
{
	size_t n;
	int r = br_file_read(path, PEM_MAX, ret, &n, err);

	return r < 0 ? br_error_prefix(err, "web-cert, web-key") : 0;
}

/* That they are a pair is found out now, not when somebody connects. */
static int check_pair(const struct br_web_options *opt, const struct br_web_door *door, struct br_error *err)
{
	gnutls_datum_t cert = { (unsigned char *)door->cert, (unsigned)strlen(door->cert) };
	gnutls_datum_t key = { (unsigned char *)door->key, (unsigned)strlen(door->key) };
	gnutls_certificate_credentials_t cred;
	int r = gnutls_certificate_allocate_credentials(&cred);

	if (r < 0)
		return br_error_set(err, ENOMEM, "out of memory");
	r = gnutls_certificate_set_x509_key_mem(cred, &cert, &key, GNUTLS_X509_FMT_PEM);
	gnutls_certificate_free_credentials(cred);
	return r < 0 ? br_error_set(err, EINVAL, "certificate %s with key %s: %s", opt->cert, opt->key, gnutls_strerror(r)) : 0;
}

static int read_tls(const struct br_web_options *opt, struct br_web_door *door, struct br_error *err)
{
	int r;

	if (!opt->cert && !opt->key)
		return 0;
	if (!opt->cert || !opt->key)
		return br_error_set(err, EINVAL, "web-cert and web-key belong together: a certificate and its key, PEM files");
	r = read_pem(opt->cert, &door->cert, err);
	if (r >= 0)
		r = read_pem(opt->key, &door->key, err);
	return r < 0 ? r : check_pair(opt, door, err);
}

static int add_name(struct br_web_door *door, const char *name, size_t n)
{
	char *copy = n && door->n_names < BR_WEB_NAMES_MAX ? strndup(name, n) : NULL;

	if (!copy)
		return n ? -ENOMEM : 0;
	door->names[door->n_names++] = copy;
	return 0;
}

/* The host's name as it is, its first part, and that as multicast DNS has it. */
static int add_names(struct br_web_door *door, const char *more)
{
	char host[256] = "", local[270];
	size_t first;
	int r = 0;

	if (gethostname(host, sizeof(host) - 1) < 0)
		host[0] = 0;
	first = strcspn(host, ".");
	snprintf(local, sizeof(local), "%.*s.local", (int)first, host);
	if (first) {
		r = add_name(door, host, strlen(host));
		r = r < 0 ? r : add_name(door, host, first);
		r = r < 0 ? r : add_name(door, local, strlen(local));
	}
	while (more && *more && r >= 0) {
		size_t n = strcspn(more, ", ");

		r = add_name(door, more, n);
		more += n + strspn(more + n, ", ");
	}
	return r;
}

static int listen_all(struct br_web_door *door, const struct br_web_options *opt, struct br_error *err)
{
	uint32_t ip = opt->ip;
	bool given = false;
	int r;

	door->port = BR_WEB_PORT;
	if (opt->where && parse_where(opt->where, &ip, &given, &door->port) < 0)
		return br_error_set(err, EINVAL, "web '%s': must be a port, ADDRESS:PORT or off", opt->where);
	r = add_ip4(door, ip);
	if (r >= 0 && !given && ip != INADDR_LOOPBACK)
		r = add_loopback(door);
	return r < 0 ? explain(r, door, err) : 0;
}

int br_web_door_open(const struct br_web_options *opt, struct br_web_door **ret, struct br_error *err)
{
	struct br_web_door *door;
	int r;

	*ret = NULL;
	if (opt->where && !strcmp(opt->where, "off"))
		return 0;
	door = calloc(1, sizeof(*door));
	if (!door)
		return br_error_set(err, ENOMEM, "out of memory");
	door->ip = opt->ip;
	door->prefix = opt->prefix;
	door->read_by_token = opt->read_by_token;
	r = read_tls(opt, door, err);
	if (r >= 0)
		r = listen_all(door, opt, err);
	if (r >= 0 && add_names(door, opt->names) < 0)
		r = br_error_set(err, ENOSPC, "web-names: at most %d", BR_WEB_NAMES_MAX - 3);
	if (r >= 0) {
		*ret = door;
		return 0;
	}
	br_web_door_close(door);
	return r == -EADDRINUSE && !opt->where ? 0 : r;
}

void br_web_door_close(struct br_web_door *door)
{
	if (!door)
		return;
	for (unsigned i = 0; i < door->n_fds; i++)
		close(door->fds[i]);
	for (unsigned i = 0; i < door->n_names; i++)
		free(door->names[i]);
	free(door->cert);
	if (door->key)
		explicit_bzero(door->key, strlen(door->key));
	free(door->key);
	free(door);
}

uint16_t br_web_door_port(const struct br_web_door *door)
{
	return door->port;
}

bool br_web_door_tls(const struct br_web_door *door)
{
	return door->cert;
}
