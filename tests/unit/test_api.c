/* SPDX-License-Identifier: Apache-2.0 */
/* The control API on its real parts and a small real image, asked by curl(1) and by our own command line. */
#include "tests/unit/test.h"

#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/client.h"
#include "api/server.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/text.h"
#include "cli/cli.h"
#include "fleet/event.h"
#include "fleet/fleet.h"
#include "plan/boots.h"
#include "plan/disks.h"
#include "store/image.h"
#include "tests/unit/apiserver.h"
#include "tests/unit/shell.h"

static void requests_that_are_wrong_get_words(void **state)
{
	static const struct {
		const char *args, *path;
		int status;
		const char *code, *words;
	} cases[] = {
		{ "", "/", 404, "not-found", "unknown" },
		{ "", "/v1/nonsense", 404, "not-found", "unknown" },
		{ "", "/v1/boards/", 404, "not-found", "unknown" },
		{ "", "/v1/boards/a/b", 404, "not-found", "unknown" },
		{ "", "/v1/boards/ghost", 404, "not-found", "no board is named 'ghost'" },
		{ "", "/v1/boards/%1b%5b2J", 404, "not-found", "\\x1b[2J" },
		{ "", "/v1/boards/%00", 404, "not-found", "unknown" },
		{ "", "/v1/boards?names=gh[1-2]", 404, "not-found", "gh1" },
		{ "", "/v1/boards?names=gh[2-1]", 400, "invalid", "backwards" },
		{ "", "/v1/boards?nmes=x", 400, "invalid", "parameter 'nmes'" },
		{ "-X DELETE", "/v1/status", 405, "method", "method" },
		{ "-X FROB", "/v1/status", 405, "method", "method" },
		{ "-d '{}'", "/v1/status", 405, "method", "method" },
		{ "-X GET -d '{}'", "/v1/status", 400, "invalid", "takes no body" },
		{ "-d ''", "/v1/boards", 400, "invalid", "no JSON" },
		{ "-d '{'", "/v1/boards", 400, "invalid", "no JSON" },
		{ "-d '[1]'", "/v1/boards", 400, "invalid", "JSON object" },
		{ "-d '{\"name\":\"a\",\"name\":\"b\"}'", "/v1/boards", 400, "invalid", "no JSON" },
		{ "-d '{\"name\":\"a\",\"colour\":\"red\"}'", "/v1/boards", 400, "invalid", "field 'colour'" },
		{ "-d '{\"name\":7}'", "/v1/boards", 400, "invalid", "a string or null" },
		{ "-d '{\"name\":\"a\"}'", "/v1/boards", 400, "invalid", "a MAC or a serial" },
		{ "-d '{\"name\":\"a\",\"mac\":\"nope\"}'", "/v1/boards", 400, "invalid", "is no MAC" },
		{ "-d '{\"name\":\"a\",\"serial\":\"xyz\"}'", "/v1/boards", 400, "invalid", "is no serial" },
		{ "-d '{\"name\":\"a\",\"serial\":\"12\",\"model\":\"9Z\"}'", "/v1/boards", 400, "invalid", "no model" },
		{ "-d '{\"name\":\"a\",\"serial\":\"12\",\"image\":\"ghost\"}'", "/v1/boards", 404, "not-found", "ghost" },
		{ "-X PUT -d '{\"name\":\"ghost\"}'", "/v1/default-image", 404, "not-found", "ghost" },
		{ "-X PUT -d '{\"nam\":\"ghost\"}'", "/v1/default-image", 400, "invalid", "name" },
		{ "-X DELETE", "/v1/images/ghost", 404, "not-found", "ghost" },
		{ "-X DELETE", "/v1/images/..", 404, "not-found", "" },
		{ "", "/v1/events?limit=x", 400, "invalid", "'limit'" },
		{ "", "/v1/events?limit=0", 400, "invalid", "'limit'" },
		{ "", "/v1/events?limit=100001", 400, "invalid", "'limit'" },
		{ "", "/v1/events?after=-1", 400, "invalid", "'after'" },
		{ "", "/v1/events?board=ghost", 404, "not-found", "ghost" },
		{ "", "/v1/boards/ghost/disk/cat?path=/etc/passwd", 404, "not-found", "ghost" },
	};

	test_needs("curl");
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		json_t *json = ask(cases[i].args, cases[i].path, cases[i].status);

		if (strcmp(str(json, "code"), cases[i].code) || !strstr(str(json, "error"), cases[i].words))
			fail_msg("case %zu: %s: %s", i, str(json, "code"), str(json, "error"));
		json_decref(json);
	}
}

static void bodies_and_urls_are_bounded(void **state)
{
	br_cleanup(br_freep) char *path = br_path_join(sv.dir, "large");
	br_cleanup(br_freep) char *args = br_asprintf("--data-binary '@%s'", path);
	br_cleanup(br_freep) char *chunked = br_asprintf("-H 'Transfer-Encoding: chunked' %s", args);
	br_cleanup(br_freep) char *names = malloc(90001);
	br_cleanup(br_freep) char *reply = NULL;
	json_t *json;

	test_needs("curl");
	assert_int_equal(test_sh("head -c 3000000 /dev/zero >'%s'", path), 0);
	json = ask(args, "/v1/boards", 413);
	assert_string_equal(str(json, "code"), "too-large");
	json_decref(json);
	json = ask(chunked, "/v1/boards", 413);
	json_decref(json);
	memset(names, 'a', 90000);
	memcpy(names, "/v1/boards?names=", 17);
	names[90000] = 0;
	reply = curl("", names);
	assert_true(br_str_ends(reply, "414") || br_str_ends(reply, "431"));
	json = ask("", "/v1/status", 200); /* still there */
	json_decref(json);
}

static void garbage_and_hanging_clients_do_not_hold_it_up(void **state)
{
	static const char garbage[] = "\x16\x03\x01garbage\r\n\r\n\0\xff";
	static const char half[] = "POST /v1/boards HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{";
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	int fds[20];
	json_t *json;

	test_needs("curl");
	strcpy(sa.sun_path, sv.socket);
	for (int i = 0; i < 20; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(fds[i], (struct sockaddr *)&sa, sizeof(sa)), 0);
		assert_int_equal(br_write_all(fds[i], i % 2 ? garbage : half, i % 2 ? sizeof(garbage) : sizeof(half) - 1),
			0);
	}
	json = ask("", "/v1/status", 200);
	assert_string_equal(str(json, "version"), BRAMBLE_VERSION);
	assert_string_equal(str(json, "address"), "10.77.0.1");
	assert_int_equal(json_integer_value(json_object_get(json, "pid")), getpid());
	json_decref(json);
	for (int i = 0; i < 20; i++)
		close(fds[i]);
}

static void boards_are_made_edited_and_removed(void **state)
{
	uint64_t before = br_event_last(sv.fleet);
	struct br_board b;
	json_t *json;

	NEED_IMAGE();
	json = ask("-d '{\"name\":\"pi07\",\"mac\":\"b8:27:eb:00:00:07\",\"serial\":\"0x10000000a1b2c3d4\","
		   "\"model\":\"3b+\",\"notes\":\"rack 1\"}'", "/v1/boards", 201);
	assert_string_equal(str(json, "model"), "3B+");
	assert_string_equal(str(json, "serial"), "10000000a1b2c3d4");
	assert_string_equal(str(json_object_get(json, "effective"), "image"), "one");
	assert_string_equal(str(json_object_get(json, "effective"), "disk"), "persistent");
	json_decref(json);
	json = ask("-d '{\"name\":\"pi07\",\"mac\":\"b8:27:eb:00:00:08\"}'", "/v1/boards", 409);
	assert_string_equal(str(json, "code"), "exists");
	json_decref(json);
	json = ask("-X PATCH -d '{\"image\":\"two\",\"disk\":\"volatile\",\"notes\":null}'", "/v1/boards/pi07", 200);
	assert_string_equal(str(json_object_get(json, "effective"), "image"), "two");
	assert_true(json_is_null(json_object_get(json, "notes")));
	json_decref(json);
	/* all or nothing */
	json = ask("-X PATCH -d '{\"disk\":\"persistent\",\"road\":\"mud\"}'", "/v1/boards/pi07", 400);
	json_decref(json);
	assert_int_equal(br_board_by_name(sv.fleet, "pi07", &b), 0);
	assert_string_equal(b.disk, "volatile");
	json = ask("-X DELETE", "/v1/images/two", 409);
	assert_non_null(strstr(str(json, "error"), "pi07"));
	json_decref(json);
	json = ask("-X DELETE", "/v1/images/one", 409);
	assert_non_null(strstr(str(json, "error"), "by default"));
	json_decref(json);
	json = ask("", "/v1/boards/pi07/plan", 200);
	assert_non_null(strstr(str(json, "cmdline"), "nfsroot=10.77.0.1:"));
	assert_true(json_array_size(json_object_get(json, "boot_files")) >= 5);
	json_decref(json);
	json = ask("", "/v1/boards?names=pi[07]", 200);
	assert_int_equal(json_array_size(json), 1);
	json_decref(json);
	json = ask("-X DELETE", "/v1/boards/pi07", 200);
	json_decref(json);
	json = ask("", "/v1/boards/pi07", 404);
	json_decref(json);
	json = ask("", "/v1/events?type=board", 200);
	assert_true(json_array_size(json) >= 3);
	json_decref(json);
	assert_true(br_event_last(sv.fleet) >= before + 3);
}

static void disks_are_looked_into_and_exported(void **state)
{
	br_cleanup(br_freep) char *raw = br_path_join(sv.dir, "raw");
	br_cleanup(br_freep) char *out = br_asprintf("-o '%s'", raw);
	br_cleanup(br_freep) char *text = NULL;
	struct br_board b;
	const json_t *e;
	bool found = false, escaped = false;
	json_t *json;
	size_t i;

	NEED_IMAGE();
	make_board("disk1", 1, &b);
	write_file(&b, "hello", "written by the board\n");
	json = ask("", "/v1/boards/disk1/disk/ls", 200);
	json_array_foreach(json_object_get(json, "entries"), i, e)
		found = found || (!strcmp(str(e, "name"), "hello") && json_integer_value(json_object_get(e, "size")) == 21);
	assert_true(found);
	json_decref(json);
	json = ask("", "/v1/boards/disk1/disk/ls?path=/etc", 200);
	json_array_foreach(json_object_get(json, "entries"), i, e) {
		escaped = escaped || !strcmp(str(e, "name_hex"), "626164ff6e616d65");
		if (!strcmp(str(e, "name"), "os-release"))
			assert_string_equal(str(e, "target"), "../usr/lib/os-release");
	}
	assert_true(escaped);
	json_decref(json);
	text = curl("", "/v1/boards/disk1/disk/cat?path=/etc/os-release");
	assert_true(br_str_starts(text, "ID=debian\n") && br_str_ends(text, "200"));
	json = ask("", "/v1/boards/disk1/disk/cat?path=/etc", 409);
	assert_string_equal(str(json, "code"), "is-a-directory");
	json_decref(json);
	json = ask("", "/v1/boards/disk1/disk/cat?path=/../../etc/shadow", 404);
	json_decref(json);
	json = ask("", "/v1/boards/disk1/disk", 200);
	assert_int_equal(json_integer_value(json_object_get(json, "base_bytes")), 8 << 20);
	assert_true(json_integer_value(json_object_get(json, "changed_bytes")) > 0);
	json_decref(json);
	free(curl(out, "/v1/boards/disk1/disk/export"));
	json = ask("", "/v1/boards/disk1/disk/export?form=cake", 400);
	json_decref(json);
	assert_int_equal(test_sh("e2fsck -fn '%s' >/dev/null 2>&1", raw), 0);
	assert_int_equal(test_sh("debugfs -R 'cat /hello' '%s' 2>/dev/null | grep -q 'by the board'", raw), 0);
	/* nothing of the copy is left */
	assert_int_equal(test_sh("ls -d '%s'/disks/*/copy-* >/dev/null 2>&1", sv.state) >> 8, 2);
	json = ask("-X POST", "/v1/boards/disk1/disk/reset", 200);
	json_decref(json);
	json = ask("", "/v1/boards/disk1/disk/cat?path=/hello", 404);
	json_decref(json);
}

struct followed {
	int n;
	char last[200];
};

static int take(void *ctx, const void *data, size_t n, uint64_t total, struct br_error *err)
{
	struct followed *f = ctx;

	for (size_t i = 0; i < n; i++)
		f->n += ((const char *)data)[i] == '\n';
	return f->n >= 3;
}

static void *emit_soon(void *arg)
{
	for (int i = 0; i < 50; i++) {
		usleep(20000);
		br_event_emit(sv.fleet, 0, 0, "test.other", NULL);
		br_event_emit(sv.fleet, 0, 0, "test.live", json_pack("{s:i}", "n", i));
	}
	return NULL;
}

static void events_are_followed(void **state)
{
	struct br_client *c;
	struct followed f = { 0 };
	struct br_error err = BR_ERROR_NULL;
	pthread_t t;

	assert_int_equal(br_client_new(sv.state, &c, &err), 0);
	assert_int_equal(pthread_create(&t, NULL, emit_soon, NULL), 0);
	assert_int_equal(br_client_stream(c, "/v1/events?follow=1&type=test.live", take, &f, &err), 1);
	assert_int_equal(f.n, 3);
	pthread_join(t, NULL);
	/* the past first */
	f.n = 1;
	assert_int_equal(br_client_stream(c, "/v1/events?follow=1&type=test.live&limit=2", take, &f, &err), 1);
	assert_int_equal(f.n, 3);
	br_client_free(c);
}

static void a_slow_follower_loses_nothing(void **state)
{
	struct br_client *c;
	struct followed f = { .n = -4997 };
	br_cleanup(br_freep) char *path =
		br_asprintf("/v1/events?follow=1&type=test.many&after=%llu", (unsigned long long)br_event_last(sv.fleet));
	struct br_error err = BR_ERROR_NULL;

	for (int i = 0; i < 5000; i++)
		br_event_emit(sv.fleet, 0, 0, "test.many", NULL);
	assert_int_equal(br_client_new(sv.state, &c, &err), 0);
	assert_int_equal(br_client_stream(c, path, take, &f, &err), 1);
	assert_int_equal(f.n, 3);
	br_client_free(c);
}

/* One that is made as it is taken is the same array. */
static void a_long_list_of_events_is_whole(void **state)
{
	json_t *json = ask("", "/v1/events?type=test.many&limit=100000", 200);
	size_t n = json_array_size(json);
	json_int_t last = json_integer_value(json_object_get(json_array_get(json, n - 1), "seq"));

	assert_int_equal(n, 5000);
	json_decref(json);
	json = ask("", "/v1/events?type=test.many&limit=2001", 200);
	assert_int_equal(json_array_size(json), 2001);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(json, 2000), "seq")), last);
	json_decref(json);
	json = ask("", "/v1/events?type=test.none&limit=3000", 200);
	assert_true(json_is_array(json) && !json_array_size(json));
	json_decref(json);
}

static void the_command_line_does_all_of_it(void **state)
{
	static const struct {
		const char *words;
		int code;
		const char *says;
	} cases[] = {
		{ "status", 0, "10.77.0.1" },
		{ "status -o json", 0, "\"counts\"" },
		{ "board add cli07 --mac b8:27:eb:02:02:07 --notes 'two words'", 0, "cli07" },
		{ "board add cli07 --mac b8:27:eb:02:02:08", 1, "taken" },
		{ "board add cli08 --serial 12345678", 0, "12345678" },
		{ "board add Bad --mac b8:27:eb:02:02:09", 2, "host name" },
		{ "board add cli09", 2, "--mac or --serial" },
		{ "board list", 0, "NAME" },
		{ "board list -q 'cli[07-08]'", 0, "cli07\ncli08\n" },
		{ "board list 'cli[06-08]'", 3, "cli06" },
		{ "board list -o jsonl cli07", 0, "\"notes\":\"two words\"" },
		{ "board list -o xml", 2, "table, json and jsonl" },
		{ "board edit 'cli[07-08]' --disk volatile", 0, "volatile" },
		{ "board edit 'cli[07-08]' --name x", 2, "one board's" },
		{ "board edit cli07", 2, "nothing to change" },
		{ "board edit cli07 --image ghost", 3, "ghost" },
		{ "board edit cli07 --image two -q", 0, "" },
		{ "board show cli07", 0, "nfsroot=" },
		{ "board show cli07 -o json", 0, "\"cmdline\"" },
		{ "board edit cli07 --image default --notes '' --name cli77", 0, "cli77" },
		{ "board edit cli07 --notes x", 3, "cli07" },
		{ "board edit cli77 --colour x", 2, "unknown option '--colour'" },
		{ "board edit cli77 --notes", 2, "needs a value" },
		{ "disk ls cli77", 0, "etc" },
		{ "disk ls cli77 /etc/os-release", 0, "-> ../usr/lib/os-release" },
		{ "disk ls cli77 /etc", 0, "bad\\xffname\n" },
		{ "disk ls cli77 /nowhere", 3, "/nowhere" },
		{ "disk cat cli77 /etc/os-release", 0, "ID=debian" },
		{ "disk cat cli77", 2, "a path is needed" },
		{ "disk cat cli77 /usr/lib/random | cmp - ../root/usr/lib/random && echo same", 0, "same" },
		{ "disk show cli77", 0, "changed:" },
		{ "disk export cli77 raw-cli && e2fsck -fn raw-cli && echo clean", 0, "clean" },
		{ "disk export cli77 raw-cli -o json >x.json && grep -q $(sha256sum raw-cli | cut -d' ' -f1) x.json && echo hashed", 0, "hashed" },
		{ "disk export cli77 raw.xz && xz -dc raw.xz | cmp - raw-cli && echo packed", 0, "packed" },
		{ "disk export cli77 raw.z --format img.zst && zstd -dc raw.z | cmp - raw-cli && echo packed", 0, "packed" },
		{ "disk export cli77 raw-cli -q && test $(du -k raw-cli | cut -f1) -lt 4000 && echo sparse", 0, "sparse" },
		{ "disk export cli77 raw-cli --format iso", 2, "img.xz" },
		{ "disk export cli77 /nowhere/raw", 3, "/nowhere/raw" },
		{ "disk export ghost raw-ghost; ls raw-ghost", 2, "No such file" },
		{ "disk reset cli77", 0, "again" },
		{ "disk reset cli77 --froce", 2, "unknown option" },
		{ "event list -n 5 -t board", 0, "board.edited" },
		{ "event list cli77 -o jsonl", 0, "\"board\":\"cli77\"" },
		{ "event list -n x", 2, "a number" },
		{ "board rm cli77 cli08", 0, "removed cli77" },
		{ "board rm cli77", 3, "cli77" },
		{ "board lst", 2, "did you mean 'board list'" },
		{ "baord list", 2, "did you mean 'board'" },
		{ "zzzzzz", 2, "see 'bramble help'" },
		{ "help board edit", 0, "--image IMAGE" },
		{ "help", 0, "Commands:" },
		{ "board rm --help", 0, "Forgets" },
		{ "--version", 0, BRAMBLE_VERSION },
	};
	char out[20000];

	NEED_IMAGE();
	assert_int_equal(chdir(sv.state), 0);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		int code = cli(out, sizeof(out), "%s", cases[i].words);

		if (code != cases[i].code || !strstr(out, cases[i].says))
			fail_msg("%s: %d: %s", cases[i].words, code, out);
	}
	assert_int_equal(chdir("/"), 0);
}

static void a_tail_ends_with_its_reader(void **state)
{
	char out[2000];
	pthread_t t;

	assert_int_equal(pthread_create(&t, NULL, emit_soon, NULL), 0);
	assert_int_equal(cli(out, sizeof(out), "event tail -n 3 | head -n 1"), 0);
	pthread_join(t, NULL);
	assert_non_null(strstr(out, "  "));
}

static void without_a_daemon_it_says_so(void **state)
{
	char out[2000];

	assert_int_equal(cli(out, sizeof(out), "--state '%s/none' board list", sv.dir), 4);
	assert_non_null(strstr(out, "start one with 'bramble serve'"));
	/* a socket that nobody listens on */
	assert_int_equal(cli(out, sizeof(out), "board list --state '%s'", sv.dir), 4);
}

static void long_state_paths_work(void **state)
{
	char dir[400];
	br_cleanup(br_freep) char *path = NULL;
	struct br_api_options ao = { .fleet = sv.fleet, .boots = sv.boots, .disks = sv.disks, .store = sv.store,
		.status = { .interface = "x", .dhcp = "off" } };
	struct br_error err = BR_ERROR_NULL;
	struct br_client *c;
	struct br_api *api;
	struct stat st;
	json_t *json;
	int n = snprintf(dir, sizeof(dir), "%s/", sv.dir);

	memset(dir + n, 'x', 150);
	dir[n + 150] = 0;
	assert_int_equal(br_mkdir_all(dir, 0755, &err), 0);
	path = br_api_socket_path(dir);
	ao.socket_path = path;
	/* something else is in the way, then a dead socket */
	assert_int_equal(br_file_write(path, "x", 1, 0644, NULL), 0);
	assert_int_equal(br_api_start(&ao, &api, &err), -EEXIST);
	assert_non_null(strstr(err.text, "in the way"));
	unlink(path);
	assert_int_equal(mknod(path, S_IFSOCK | 0600, 0), 0);
	assert_int_equal(br_api_start(&ao, &api, &err), 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0660);
	assert_int_equal(br_client_new(dir, &c, &err), 0);
	assert_int_equal(br_client_call(c, "GET", "/v1/status", NULL, &json, &err), 0);
	json_decref(json);
	br_client_free(c);
	br_api_stop(api);
}

static void *stop_soon(void *api)
{
	usleep(50000);
	br_api_stop(api);
	return NULL;
}

/* A stop ends followers instead of waiting for them. */
static void a_stop_ends_the_streams(void **state)
{
	br_cleanup(br_freep) char *dir = br_path_join(sv.dir, "second");
	br_cleanup(br_freep) char *path = br_api_socket_path(dir);
	struct br_api_options ao = { .fleet = sv.fleet, .boots = sv.boots, .disks = sv.disks, .store = sv.store,
		.socket_path = path, .status = { .interface = "x", .dhcp = "off" } };
	struct followed f = { .n = -1000 };
	struct br_error err = BR_ERROR_NULL;
	struct br_client *c;
	struct br_api *api;
	pthread_t t;

	assert_int_equal(br_mkdir_all(dir, 0755, &err), 0);
	assert_int_equal(br_api_start(&ao, &api, &err), 0);
	assert_int_equal(br_client_new(dir, &c, &err), 0);
	assert_int_equal(pthread_create(&t, NULL, stop_soon, api), 0);
	assert_int_equal(br_client_stream(c, "/v1/events?follow=1", take, &f, &err), 0);
	pthread_join(t, NULL);
	assert_int_equal(br_client_call(c, "GET", "/v1/status", NULL, NULL, &err), -ECONNREFUSED);
	br_client_free(c);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_that_are_wrong_get_words),
		cmocka_unit_test(bodies_and_urls_are_bounded),
		cmocka_unit_test(garbage_and_hanging_clients_do_not_hold_it_up),
		cmocka_unit_test(boards_are_made_edited_and_removed),
		cmocka_unit_test(disks_are_looked_into_and_exported),
		cmocka_unit_test(events_are_followed),
		cmocka_unit_test(a_slow_follower_loses_nothing),
		cmocka_unit_test(a_long_list_of_events_is_whole),
		cmocka_unit_test(the_command_line_does_all_of_it),
		cmocka_unit_test(a_tail_ends_with_its_reader),
		cmocka_unit_test(without_a_daemon_it_says_so),
		cmocka_unit_test(long_state_paths_work),
		cmocka_unit_test(a_stop_ends_the_streams),
	};

	if (argc > 1 && !strcmp(argv[1], "--cli"))
		return br_cli_main(argc - 1, argv + 1);
	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("api", tests, start, stop);
}
