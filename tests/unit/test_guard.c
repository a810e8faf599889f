/* SPDX-License-Identifier: Apache-2.0 */
/* Who may come in by TCP: heads of requests, tokens, the live feed's numbers; hooks' words; the text of what is counted. */
#include "tests/unit/test.h"

#include <pthread.h>

#include "api/access.h"
#include "api/call.h"
#include "api/guard.h"
#include "api/live.h"
#include "api/webshare.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/metrics.h"
#include "base/text.h"
#include "daemon/hooks.h"
#include "fleet/event.h"

static const char *const names[] = { "lab", "lab.example.org", NULL };

static void hosts_that_are_us(void **state)
{
	static const struct {
		const char *host;
		bool ok;
	} cases[] = {
		{ "10.77.0.1", true }, { "10.77.0.1:8480", true }, { "127.0.0.1:1", true }, { "[::1]", true }, { "[fe80::1]:8480", true },
		{ "localhost", true }, { "LOCALHOST:8480", true }, { "lab", true }, { "Lab:80", true }, { "lab.example.org.", true },
		{ NULL, false }, { "", false }, { "evil.example", false }, { "lab.evil.example", false }, { "10.77.0.1.evil.example", false },
		{ "10.77.0.1:", false }, { "10.77.0.1:99999", false }, { "lab:80:80", false }, { "[::1", false }, { "[::1]x", false }, { "::1", false },
		{ "lab@evil", false }, { "0x7f000001", false }, { "2130706433", false }, { ".", false },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		if (br_guard_host_ok(cases[i].host, names) != cases[i].ok)
			fail_msg("%s", cases[i].host ? cases[i].host : "(none)");
}

static void pages_of_other_sites(void **state)
{
#define H "10.77.0.1:8480"
	static const struct {
		struct br_guard_head head;
		int r;
	} cases[] = {
		{ { .host = H }, 0 },
		{ { .host = "evil.example" }, -EADDRNOTAVAIL },
		{ { .host = H, .origin = "http://" H }, 0 },
		{ { .host = H, .origin = "https://" H }, -EREMOTE },
		{ { .host = H, .origin = "https://" H, .tls = true }, 0 },
		{ { .host = H, .origin = "http://10.77.0.1:8481" }, -EREMOTE },
		{ { .host = H, .origin = "null" }, -EREMOTE },
		{ { .host = H, .origin = "http://" H ".evil.example" }, -EREMOTE },
		{ { .host = H, .fetch_site = "same-origin" }, 0 },
		{ { .host = H, .fetch_site = "none" }, 0 },
		{ { .host = H, .fetch_site = "same-site" }, -EREMOTE },
		{ { .host = H, .fetch_site = "cross-site" }, -EREMOTE },
		{ { .host = H, .fetch_site = "cross-site", .fetch_mode = "navigate" }, -EREMOTE },
		{ { .host = H, .fetch_site = "cross-site", .fetch_mode = "navigate", .page = true }, 0 },
		{ { .host = H, .fetch_site = "cross-site", .fetch_mode = "no-cors", .page = true }, -EREMOTE },
		{ { .host = "evil.example", .fetch_mode = "navigate", .page = true }, -EADDRNOTAVAIL },
	};
	struct br_error err;

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		if (br_guard_check(&cases[i].head, names, &err) != cases[i].r)
			fail_msg("case %zu", i);
}

static void tokens_in_heads(void **state)
{
	static const char good[] = "brt_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	char out[BR_TOKEN_TEXT], field[200];

	assert_int_equal(br_guard_bearer(NULL, out), 0);
	snprintf(field, sizeof(field), "bearer   %s", good);
	assert_int_equal(br_guard_bearer(field, out), 1);
	assert_string_equal(out, good);
	snprintf(field, sizeof(field), "Bearer %s ", good);
	assert_int_equal(br_guard_bearer(field, out), -EINVAL);
	snprintf(field, sizeof(field), "Basic %s", good);
	assert_int_equal(br_guard_bearer(field, out), -EINVAL);
	snprintf(field, sizeof(field), "Bearer %.67sG", good);
	assert_int_equal(br_guard_bearer(field, out), -EINVAL);
	assert_int_equal(br_guard_bearer("Bearer ", out), -EINVAL);
	assert_int_equal(br_guard_bearer("", out), -EINVAL);
}

static struct br_fleet *fleet;

static int open_fleet(void **state)
{
	br_cleanup(br_freep) char *dir = br_path_join(test_dir(), "guard");

	return br_fleet_open(dir, true, &fleet, NULL);
}

static int close_fleet(void **state)
{
	br_fleet_close(fleet);
	br_remove_tree(test_dir(), NULL);
	return 0;
}

static void tokens_live_and_die(void **state)
{
	struct br_access_request req = { .name = "ci", .scope = "operate", .boards = "pi[1-4]", .made_by = "local:0", .now = 1000, .expires_at = 2000 };
	char text[BR_TOKEN_TEXT], other[BR_TOKEN_TEXT];
	struct br_access_token *t;
	struct br_access *access;
	struct br_error err;

	assert_int_equal(br_access_new(fleet, &access, &err), 0);
	assert_int_equal(br_access_make(access, &req, text, &err), 0);
	assert_int_equal(br_access_make(access, &req, other, &err), -EEXIST);
	req.name = "-x";
	assert_int_equal(br_access_make(access, &req, other, &err), -EINVAL);
	req.name = "x";
	req.scope = "root";
	assert_int_equal(br_access_make(access, &req, other, &err), -EINVAL);
	req.scope = "admin"; /* not for some boards */
	assert_int_equal(br_access_make(access, &req, other, &err), -EINVAL);
	req.boards = "";
	req.expires_at = 999;
	assert_int_equal(br_access_make(access, &req, other, &err), -EINVAL);
	br_access_free(access);
	/* a restart later */
	assert_int_equal(br_access_new(fleet, &access, &err), 0);
	t = br_access_find(access, text, 1500);
	assert_non_null(t);
	assert_int_equal(t->scope, BR_SCOPE_OPERATE);
	assert_string_equal(t->token.boards, "pi[1-4]");
	assert_null(br_access_find(access, text, 2000));
	text[10] ^= 1;
	assert_null(br_access_find(access, text, 1500));
	text[10] ^= 1;
	assert_true(br_access_valid(t, 1999));
	assert_false(br_access_valid(t, 2000));
	assert_int_equal(br_access_revoke(access, "nobody", &err), -ENOENT);
	assert_int_equal(br_access_revoke(access, "ci", &err), 0);
	assert_false(br_access_valid(t, 1500));
	assert_null(br_access_find(access, text, 1500));
	br_access_unref(t);
	br_access_free(access);
}

/* ---- shares ---- */

static void strangers_leave_room_for_others(void **state)
{
	static const struct br_web_share_limits limits = { .max = 10, .strangers = 6, .stranger = 4, .operator = 8 };
	static const struct br_who a = { .name = "anonymous:10.0.0.1", .scope = BR_SCOPE_READ }, b = { .name = "anonymous:10.0.0.2", .scope = BR_SCOPE_READ },
				   ci = { .name = "token:ci", .scope = BR_SCOPE_OPERATE };
	struct br_web_share *of_a, *of_b, *of_ci;
	struct br_web_shares s;

	br_web_shares_init(&s, &limits);
	of_a = br_web_share_take(&s, &a, 3);
	assert_non_null(of_a);
	assert_ptr_equal(br_web_share_take(&s, &a, 1), of_a);
	assert_null(br_web_share_take(&s, &a, 1));
	of_b = br_web_share_take(&s, &b, 2);
	assert_non_null(of_b);
	assert_null(br_web_share_take(&s, &b, 1)); /* strangers have theirs */
	of_ci = br_web_share_take(&s, &ci, 4);
	assert_non_null(of_ci);
	assert_null(br_web_share_take(&s, &ci, 1)); /* that is all */
	br_web_share_give_back(&s, of_a, 4);
	br_web_share_give_back(&s, of_b, 2);
	assert_non_null(br_web_share_take(&s, &ci, 4));
	assert_null(br_web_share_take(&s, &ci, 1));
	br_web_share_give_back(&s, of_ci, 8);
	/* who has nothing may have more than his part, once */
	of_a = br_web_share_take(&s, &a, 100);
	assert_non_null(of_a);
	assert_null(br_web_share_take(&s, &a, 1));
	assert_int_equal(br_web_shares_taken(&s), 100);
	br_web_share_give_back(&s, of_a, 100);
	br_web_shares_end(&s);
	assert_null(br_web_share_take(&s, &a, 1));
	br_web_shares_done(&s);
}

/* ---- the feed ---- */

static unsigned sleeps, wakes;

static void on_sleep(void *ctx)
{
	sleeps++;
}

static void on_wake(void *ctx)
{
	wakes++;
}

static char *read_all(struct br_follower *f)
{
	struct br_text t = BR_TEXT_NULL;
	char buf[7]; /* smaller than any message */
	ssize_t n;

	br_text_add(&t, "");
	while ((n = br_follower_read(f, buf, sizeof(buf))) > 0)
		br_text_add_bytes(&t, buf, (size_t)n);
	return br_text_take(&t);
}

static struct br_follower *follow(struct br_feed *feed, const char *last_id)
{
	struct br_follower_options opt = { .topics = BR_TOPIC_STATUS, .last_id = last_id, .hello = "{}", .sleep = on_sleep, .wake = on_wake };

	return br_follower_new(feed, &opt);
}

static void followers_resume_or_are_told(void **state)
{
	br_cleanup(br_freep) char *text = NULL, *id = NULL;
	struct br_follower *f, *g, *slow;
	struct br_feed *feed;

	assert_int_equal(br_feed_new(fleet, NULL, &feed), 0);
	assert_false(br_feed_wanted(feed, BR_TOPIC_STATUS, 0));
	f = follow(feed, NULL);
	slow = follow(feed, NULL);
	assert_true(br_feed_wanted(feed, BR_TOPIC_STATUS, 0));
	assert_false(br_feed_wanted(feed, BR_TOPIC_LOGS, 7));
	text = read_all(f);
	assert_non_null(strstr(text, "event: hello\ndata: {}\n\n"));
	assert_null(strstr(text, "resync"));
	br_feed_put(feed, BR_TOPIC_STATUS, 0, "status", json_pack("{s:i}", "n", 1));
	assert_int_equal(wakes, 1);
	br_feed_put(feed, BR_TOPIC_EVENTS, 0, "event", json_pack("{s:i}", "n", 1)); /* nobody's */
	free(text);
	text = read_all(f);
	assert_non_null(strstr(text, "data: {\"n\":1}\n\n"));
	assert_null(strstr(text, "event: event"));
	id = strndup(text + 4, strcspn(text + 4, "\n"));
	br_feed_put(feed, BR_TOPIC_STATUS, 0, "status", json_pack("{s:s}", "text", "two\nlines"));
	g = follow(feed, id);
	free(text);
	text = read_all(g);
	assert_non_null(strstr(text, "two\\nlines"));
	assert_null(strstr(text, "\"n\":1"));
	assert_null(strstr(text, "resync"));
	br_follower_free(g);
	for (unsigned i = 0; i < 5000; i++) /* more than the feed keeps */
		br_feed_put(feed, BR_TOPIC_STATUS, 0, "status", json_integer(i));
	g = follow(feed, id);
	free(text);
	text = read_all(g);
	assert_non_null(strstr(text, "event: resync"));
	br_follower_free(g);
	free(text);
	text = read_all(slow);
	assert_non_null(strstr(text, "event: resync"));
	assert_null(strstr(text, "data: 4999"));
	br_feed_put(feed, BR_TOPIC_STATUS, 0, "status", json_integer(77));
	free(text);
	text = read_all(slow);
	assert_non_null(strstr(text, "data: 77"));
	br_feed_stop(feed);
	assert_int_equal(br_follower_read(f, (char[4]){ 0 }, 4), -1);
	br_follower_free(f);
	br_follower_free(slow);
	br_feed_free(feed);
}

static void numbers_of_messages(void **state)
{
	static const char *const bad[] = { "", "-", "1", "1-", "-1", "x-1", "1-x", "1-1-1", "99999999999999999999999-1", " 1-1" };
	unsigned long long epoch, n;

	assert_int_equal(br_guard_event_id("18446744073709551615-12", &epoch, &n), 0);
	assert_true(epoch == UINT64_MAX && n == 12);
	for (size_t i = 0; i < BR_ARRAY_SIZE(bad); i++)
		assert_int_equal(br_guard_event_id(bad[i], &epoch, &n), -EINVAL);
}

/* ---- hooks ---- */

static void hooks_and_their_words(void **state)
{
	struct br_hook hook = { .name = "x" };
	char sign[BR_HOOK_SIGNATURE];
	char **words;
	int r;

	assert_non_null(br_hook_check(&hook));
	assert_null(br_hook_set(&hook, "on", "board.up, flash.*", &r));
	assert_null(br_hook_set(&hook, "exec", "/bin/tell {board} --type={type} {event} {nope} {seq", &r));
	assert_null(br_hook_check(&hook));
	assert_non_null(br_hook_set(&hook, "timeout", "1h", &r));
	assert_null(br_hook_set(&hook, "colour", "red", &r));
	assert_int_equal(r, -ENOENT);
	assert_true(br_hook_wants(&hook, "board.up") && br_hook_wants(&hook, "flash.done"));
	assert_false(br_hook_wants(&hook, "board.upper") || br_hook_wants(&hook, "board") || br_hook_wants(&hook, "flashy"));
	/* whatever is in an event stays one word */
	words = br_hook_words(&hook, "{\"board\":\"a b;$(x)\",\"type\":\"board.up\",\"seq\":7}");
	assert_string_equal(words[1], "a b;$(x)");
	assert_string_equal(words[2], "--type=board.up");
	assert_string_equal(words[4], "{nope}");
	assert_string_equal(words[5], "{seq");
	assert_null(words[6]);
	br_hook_words_free(words);
	assert_null(br_hook_set(&hook, "url", "https://x/", &r));
	assert_non_null(br_hook_check(&hook)); /* both */
	/* RFC 4231's way, by openssl dgst -sha256 -hmac key over "1.{}" */
	br_hook_sign("key", 1, "{}", sign);
	assert_int_equal(strlen(sign), 71);
	assert_string_equal(sign, "sha256=1ba6b8171186efc613e8bcc0cbdab2748f24984d7c5a84faa2637afa0e40d224");
}

/* ---- metrics and the description ---- */

static void write_some(void *ctx, struct br_metrics *m)
{
	br_metric_family(m, "bramble_x_total", BR_METRIC_COUNTER, "X.");
	br_metric_value(m, 12345678901.0, "a", "q\"u\\o\nte", "b", "", NULL);
	br_metric_family(m, "bramble_h", BR_METRIC_HISTOGRAM, "H.");
	br_metric_histogram(m, ctx, "p", "v");
}

static void what_is_counted_as_text(void **state)
{
	static const double bounds[] = { 0.5, 2 };
	struct br_histogram h = { .bounds = bounds, .n_bounds = 2 };
	br_cleanup(br_freep) char *text = NULL;
	void *handle;

	br_histogram_add(&h, 0.5);
	br_histogram_add(&h, 1);
	br_histogram_add(&h, 99);
	handle = br_metrics_add(write_some, &h);
	text = br_metrics_text();
	br_metrics_remove(handle);
	assert_string_equal(text, "# HELP bramble_x_total X.\n# TYPE bramble_x_total counter\n"
				  "bramble_x_total{a=\"q\\\"u\\\\o\\nte\",b=\"\"} 12345678901\n"
				  "# HELP bramble_h H.\n# TYPE bramble_h histogram\n"
				  "bramble_h_bucket{p=\"v\",le=\"0.5\"} 1\nbramble_h_bucket{p=\"v\",le=\"2\"} 2\n"
				  "bramble_h_bucket{p=\"v\",le=\"+Inf\"} 3\nbramble_h_sum{p=\"v\"} 100.5\nbramble_h_count{p=\"v\"} 3\n");
}

/* Each route says what it is; paths are the table's; ids are no two's. */
static void routes_are_described(void **state)
{
	br_cleanup(json_decrefp) json_t *doc = br_api_openapi();
	json_t *paths = json_object_get(doc, "paths"), *ids = json_object(), *item, *op;
	const struct br_route *const *tables;
	const char *path, *method;
	size_t n, routes = 0, seen = 0;

	tables = br_api_tables(&n);
	for (size_t i = 0; i < n; i++)
		for (const struct br_route *r = tables[i]; r->method; r++, routes++)
			if (!r->summary || !r->summary[0])
				fail_msg("%s %s: no summary", r->method, r->path);
	json_object_foreach(paths, path, item) {
		json_object_foreach(item, method, op) {
			const char *id = json_string_value(json_object_get(op, "operationId"));

			seen++;
			if (json_object_get(ids, id))
				fail_msg("%s %s: another has the id %s", method, path, id);
			json_object_set_new(ids, id, json_true());
		}
	}
	assert_int_equal(seen, routes);
	json_decref(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_that_are_us),
		cmocka_unit_test(pages_of_other_sites),
		cmocka_unit_test(tokens_in_heads),
		cmocka_unit_test(tokens_live_and_die),
		cmocka_unit_test(followers_resume_or_are_told),
		cmocka_unit_test(numbers_of_messages),
		cmocka_unit_test(hooks_and_their_words),
		cmocka_unit_test(what_is_counted_as_text),
		cmocka_unit_test(routes_are_described),
		cmocka_unit_test(strangers_leave_room_for_others),
	};

	return cmocka_run_group_tests(tests, open_fleet, close_fleet);
}
