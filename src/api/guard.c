/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request comes from, as its head says. */
#include "api/guard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "base/text.h"

#define HOST_MAX 260 /* RFC 1035 2.3.4, brackets and a port */

/* Cuts ":PORT" off; false: what is behind the colon is no port. */
static bool cut_port(char *host)
{
	char *colon = host[0] == '[' ? strchr(host, ']') : strchr(host, ':');
	uint64_t port;

	if (host[0] == '[') {
		if (!colon)
			return false;
		colon = colon[1] ? colon + 1 : NULL;
	}
	if (!colon)
		return true;
	if (*colon != ':' || br_parse_u64(colon + 1, 1, 65535, &port) < 0)
		return false;
	*colon = 0;
	return true;
}

static bool is_ip6(char *host)
{
	size_t n = strlen(host);
	struct in6_addr a;

	if (n < 4 || host[0] != '[' || host[n - 1] != ']')
		return false;
	host[n - 1] = 0;
	return inet_pton(AF_INET6, host + 1, &a) == 1;
}

bool br_guard_host_ok(const char *host, const char *const *names)
{
	char text[HOST_MAX];
	uint32_t ip;
	size_t n;

	if (!host || br_strcpy(text, sizeof(text), host) < 0 || !text[0] || !cut_port(text))
		return false;
	if (!br_ip_parse(text, &ip))
		return true;
	n = strlen(text);
	if (n > 1 && text[n - 1] == '.') /* the root's dot of a full name */
		text[n - 1] = 0;
	for (size_t i = 0; names && names[i]; i++)
		if (!strcasecmp(names[i], text))
			return true;
	return !strcasecmp(text, "localhost") || is_ip6(text);
}

/* "https://HOST" with the very Host of the request. */
static bool same_origin(const char *origin, const char *host, bool tls)
{
	const char *scheme = tls ? "https://" : "http://";

	return br_str_starts(origin, scheme) && host && !strcasecmp(origin + strlen(scheme), host);
}

int br_guard_check(const struct br_guard_head *h, const char *const *names, struct br_error *err)
{
	char vis[100];

	if (!br_guard_host_ok(h->host, names))
		return br_error_set(err, EADDRNOTAVAIL, "host '%s' is not known to be this machine; use its address, or name it in 'web-names' of "
			"bramble.conf", h->host ? br_vis(vis, sizeof(vis), h->host, strlen(h->host)) : "");
	if (h->page && (!h->fetch_mode || !strcmp(h->fetch_mode, "navigate")) && !h->origin)
		return 0; /* somebody's link to the page */
	if (h->origin && !same_origin(h->origin, h->host, h->tls))
		return br_error_set(err, EREMOTE, "refused: the page that asks is of another site (%s)",
			br_vis(vis, sizeof(vis), h->origin, strlen(h->origin)));
	if (h->fetch_site && strcmp(h->fetch_site, "same-origin") != 0 && strcmp(h->fetch_site, "none") != 0)
		return br_error_set(err, EREMOTE, "refused: the page that asks is of another site (Sec-Fetch-Site: %s)",
			br_vis(vis, sizeof(vis), h->fetch_site, strlen(h->fetch_site)));
	return 0;
}

int br_guard_bearer(const char *a, char ret[static BR_TOKEN_TEXT])
{
	static const char digits[] = "0123456789abcdef";
	size_t prefix = strlen(BR_TOKEN_PREFIX);

	if (!a)
		return 0;
	if (strncasecmp(a, "Bearer ", 7) != 0)
		return -EINVAL;
	a += 7;
	a += strspn(a, " ");
	if (strlen(a) != BR_TOKEN_TEXT - 1 || strncmp(a, BR_TOKEN_PREFIX, prefix) != 0 || a[prefix + strspn(a + prefix, digits)])
		return -EINVAL;
	memcpy(ret, a, BR_TOKEN_TEXT);
	return 1;
}

int br_guard_event_id(const char *text, unsigned long long *ret_epoch, unsigned long long *ret_n)
{
	const char *dash = strchr(text, '-');
	uint64_t epoch, n;
	char first[24];

	if (!dash || (size_t)(dash - text) >= sizeof(first))
		return -EINVAL;
	memcpy(first, text, (size_t)(dash - text));
	first[dash - text] = 0;
	if (br_parse_u64(first, 0, UINT64_MAX, &epoch) < 0 || br_parse_u64(dash + 1, 0, UINT64_MAX, &n) < 0)
		return -EINVAL;
	*ret_epoch = epoch;
	*ret_n = n;
	return 0;
}
