/* SPDX-License-Identifier: Apache-2.0 */
/* Asking devices over HTTP. */
#include "power/httpget.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

static void init(void)
{
	curl_global_init(CURL_GLOBAL_DEFAULT);
}

static size_t take(char *data, size_t size, size_t n, void *ctx)
{
	struct br_power_page *page = ctx;
	char *more;

	if (page->n + n > BR_POWER_PAGE_MAX)
		return 0;
	more = realloc(page->text, page->n + n + 1);
	if (!more)
		return 0;
	memcpy(more + page->n, data, n);
	page->text = more;
	page->n += n;
	more[page->n] = 0;
	return n;
}

void br_power_page_done(struct br_power_page *page)
{
	free(page->text);
	*page = (struct br_power_page){ 0 };
}

/* "http://10.0.0.9": passwords stand in the rest. */
static const char *host_of(const char *url, char out[static 160])
{
	const char *slashes = strstr(url, "://");
	size_t n = slashes ? (size_t)(slashes - url) + 3 + strcspn(slashes + 3, "/?") : strlen(url);

	return br_vis(out, 160, url, n);
}

static const struct {
	CURLcode code;
	int error;
	const char *words;
} failures[] = {
	{ CURLE_OPERATION_TIMEDOUT, ETIMEDOUT, "did not answer in time" },
	{ CURLE_COULDNT_CONNECT, ECONNREFUSED, "cannot be connected to" },
	{ CURLE_COULDNT_RESOLVE_HOST, EHOSTUNREACH, "has a name that nobody knows" },
	{ CURLE_WRITE_ERROR, EMSGSIZE, "answered more than 64 KiB" },
	{ CURLE_GOT_NOTHING, EPROTO, "closed the connection without an answer" },
	{ CURLE_OUT_OF_MEMORY, ENOMEM, "cannot be asked: out of memory" },
};

static int failed(CURLcode code, const char *url, struct br_error *err)
{
	char host[160];

	host_of(url, host);
	for (size_t i = 0; i < BR_ARRAY_SIZE(failures); i++)
		if (failures[i].code == code)
			return br_error_set(err, failures[i].error, "%s %s", host, failures[i].words);
	return br_error_set(err, EPROTO, "%s: %s", host, curl_easy_strerror(code));
}

int br_power_get(const char *url, const char *user, const char *password, uint64_t timeout_ns, struct br_power_page *ret,
	struct br_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct br_power_page page = { 0 };
	CURLcode code;
	CURL *c;

	pthread_once(&once, init);
	c = curl_easy_init();
	if (!c)
		return br_error_set(err, ENOMEM, "out of memory");
	curl_easy_setopt(c, CURLOPT_URL, url);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)(timeout_ns / BR_MS) ?: 1L);
	curl_easy_setopt(c, CURLOPT_USERAGENT, "bramble");
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &page);
	if (user && *user) {
		curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_ANY);
		curl_easy_setopt(c, CURLOPT_USERNAME, user);
		curl_easy_setopt(c, CURLOPT_PASSWORD, password ?: "");
	}
	code = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &page.status);
	curl_easy_cleanup(c);
	if (!code && !page.text)
		page.text = strdup("");
	if (!code && !page.text)
		code = CURLE_OUT_OF_MEMORY;
	if (code) {
		br_power_page_done(&page);
		return failed(code, url, err);
	}
	*ret = page;
	return 0;
}

int br_power_get_json(const char *url, const char *user, const char *password, uint64_t timeout_ns, json_t **ret, struct br_error *err)
{
	struct br_power_page page = { 0 };
	char host[160], vis[120];
	json_t *json;
	int r = br_power_get(url, user, password, timeout_ns, &page, err);

	if (r < 0 || !page.text)
		return r;
	json = json_loadb(page.text, page.n, 0, NULL);
	host_of(url, host);
	if (page.status == 401)
		r = br_error_set(err, EACCES, "%s wants another user and password", host);
	else if (page.status / 100 != 2)
		r = br_error_set(err, EPROTO, "%s answered HTTP %ld: %s", host, page.status,
			br_vis(vis, sizeof(vis), page.text, strcspn(page.text, "\r\n")));
	else if (!json_is_object(json))
		r = br_error_set(err, EPROTO, "%s did not answer as such a device does (no JSON): %s", host,
			br_vis(vis, sizeof(vis), page.text, strcspn(page.text, "\r\n")));
	br_power_page_done(&page);
	if (r < 0)
		json_decref(json);
	else
		*ret = json;
	return r;
}
