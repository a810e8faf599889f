/* SPDX-License-Identifier: Apache-2.0 */
/* Images out of disks, names, snapshots, differences, copies: through the API and the command line. */
#include "tests/unit/apiserver.h"

/* In order: each builds on what came before. says: what the output must hold; a '!' before it: must not. */
struct step {
	const char *words;
	int code;
	const char *says;
};

static void run(const struct step *steps, size_t n)
{
	static char out[60000];

	for (size_t i = 0; i < n; i++) {
		int code = cli(out, sizeof(out), "%s", steps[i].words);
		bool not = steps[i].says[0] == '!';

		if (code != steps[i].code || !strstr(out, steps[i].says + not) != not)
			fail_msg("step %zu: %s: %d: %s", i, steps[i].words, code, out);
	}
}

#define RUN(steps) run(steps, BR_ARRAY_SIZE(steps))

static bool event_seen(const char *type)
{
	br_cleanup(br_freep) char *path = br_asprintf("/v1/events?type=%s", type);
	json_t *json = ask("", path, 200);
	bool seen = json_array_size(json) > 0;

	json_decref(json);
	return seen;
}

static void files_are_copied_both_ways(void **state)
{
	static const struct step steps[] = {
		{ "board add cp1 --mac b8:27:eb:03:00:01", 0, "cp1" },
		{ "disk cp ../tree/one cp1:/root.txt", 0, "" },
		{ "disk cat cp1 /root.txt", 0, "one\n" },
		{ "disk cp ../tree/one cp1:/etc", 0, "" }, /* into a directory */
		{ "disk cat cp1 /etc/one", 0, "one\n" },
		{ "disk cp ../tree/sub/two cp1:/etc/one", 0, "" }, /* over a file */
		{ "disk cat cp1 /etc/one", 0, "two\n" },
		{ "disk cp ../tree cp1:/x", 1, "add -r" },
		{ "disk cp -r ../tree cp1:/usr/tree --owner 7:8", 0, "4 files copied" },
		{ "disk ls cp1 /usr/tree", 0, "7:8" },
		{ "disk ls cp1 /usr/tree", 0, "link -> sub/two" },
		{ "disk ls cp1 /usr/tree/sub", 0, "-rwxr-x--x" },
		{ "disk cp cp1:/usr/lib/random got && cmp got ../root/usr/lib/random && echo same", 0, "same" },
		{ "disk cp -r cp1:/usr/tree back && diff -r back ../tree && readlink back/link && echo same", 0, "same" },
		{ "disk cp cp1:/usr/tree/sub/two . && cat two", 0, "two" },
		{ "disk cp cp1:/usr/tree there", 1, "add -r" },
		{ "disk cp cp1:/nope there", 3, "/nope" },
		/* a link of an earlier copy is no way out of the directory */
		{ "disk cp -r cp1:/usr/tree again && mkdir -p outside && rm -r again/sub && ln -s ../outside again/sub", 0, "" },
		{ "disk cp -r cp1:/usr/tree/sub again/sub && ls outside", 0, "two" }, /* named by the user */
		{ "board list && rm outside/two again/link", 0, "" },
		{ "disk cp -r cp1:/usr/tree again 2>&1; ls -A outside", 0, "no directory" },
		{ "disk cat cp1 /root.txt && test -z \"$(ls -A outside)\" && echo empty", 0, "empty" },
		{ "disk cp cp1:/nope there", 3, "/nope" },
		{ "disk cp ../tree/one cp1:/nope/there/x", 3, "/nope/there" },
		{ "disk cp ../nope cp1:/x", 3, "../nope" },
		{ "disk cp ../tree/one cp1:x", 2, "must begin with '/'" },
		{ "disk cp a b", 2, "BOARD:PATH" },
		{ "disk cp cp1:/a cp1:/b", 2, "BOARD:PATH" },
		{ "disk cp a cp1:/b --mode 9", 2, "octal" },
		{ "disk cp a cp1:/b --owner root", 2, "UID:GID" },
		{ "disk cp ../tree/one ghost:/x", 3, "ghost" },
		/* a link is replaced wherever it leads, and nothing is done to what it leads to */
		{ "disk cp -r ../links cp1:/links && echo once", 0, "once" },
		{ "disk cp -r ../links cp1:/links && echo twice", 0, "twice" },
		{ "disk ls cp1 /links", 0, "to-dir -> ../usr" },
		{ "disk cp -r ../links/d cp1:/links/to-dir --owner 7:8 && echo through", 0, "through" },
		{ "disk ls cp1 /", 0, "!7:8" },
		{ "disk ls cp1 /usr", 0, "inner" },
		{ "disk ls cp1 /links -q", 0, "!.bramble-cp" },
		{ "disk ls cp1 / -q", 0, "!.bramble-cp" },
		/* owners and setuid are kept when that is asked for, both ways */
		{ "disk cp -p ../owned cp1:/owned", 0, "" },
		{ "disk ls cp1 /owned", 0, "-rwsr-x---" },
		{ "disk ls cp1 /owned", 0, "7:8" },
		{ "disk cp -p cp1:/owned owned && stat -c '%a %u %g %Y' owned", 0, "4750 7 8 1000\n" },
		{ "disk cp -rp cp1:/links owned-tree && stat -c '%u:%g' owned-tree/d", 0, "0:0\n" },
		{ "disk cp ../tree/one cp1:/etc/hostname --mode 600", 0, "" }, /* over a projected file */
		{ "disk cat cp1 /etc/hostname", 0, "one\n" },
		{ "disk ls cp1 /etc/hostname", 0, "-rw-------" },
		{ "disk export cp1 cp1.raw && e2fsck -fn cp1.raw && echo clean", 0, "clean" },
	};
	json_t *json;

	NEED_IMAGE();
	assert_int_equal(test_sh("cd '%s'; mkdir -p tree/sub; echo one >tree/one; echo two >tree/sub/two; ln -s sub/two tree/link; "
				 "mkdir -p links/d; ln -s ../usr links/to-dir; touch links/d/inner; "
				 "touch owned; chown 7:8 owned; chmod 4750 owned; touch -d @1000 owned; chmod 751 tree/sub/two; head -c 3000000 /dev/urandom >tree/big", sv.dir), 0);
	assert_int_equal(chdir(sv.state), 0);
	RUN(steps);
	json = ask("-X PUT --data-binary x", "/v1/boards/cp1/disk/file", 400);
	json_decref(json);
	json = ask("-X PUT --data-binary x", "/v1/boards/cp1/disk/file?path=/a&mode=99", 400);
	json_decref(json);
	json = ask("-X PUT --data-binary x", "/v1/boards/cp1/disk/file?path=/a&nonsense=99", 400);
	json_decref(json);
	json = ask("-X PUT --data-binary x", "/v1/boards/cp1/disk/file?path=/etc/..", 409);
	json_decref(json);
	json = ask("-X PUT", "/v1/boards/cp1/disk/file?path=/empty", 200);
	assert_int_equal(json_integer_value(json_object_get(json, "size")), 0);
	json_decref(json);
	json = ask("-X POST", "/v1/boards/cp1/disk/symlink?path=/l", 400);
	json_decref(json);
	assert_int_equal(chdir("/"), 0);
}

static void a_disk_is_saved_and_boots_elsewhere(void **state)
{
	static const struct step steps[] = {
		{ "board add save1 --mac b8:27:eb:03:00:02", 0, "save1" },
		{ "disk cp ../tree/one save1:/new", 0, "" },
		{ "disk cp ../tree/sub/two save1:/usr/lib/random", 0, "" },
		{ "disk diff save1 -q", 0, "/new\n/usr/lib/random\n" },
		{ "disk diff save1", 0, "changed content" },
		{ "disk save save1 Lab", 2, "cannot name an image" },
		{ "disk save save1", 2, "a name for the image is needed" },
		{ "disk save save1 two", 1, "another image named 'two'" },
		{ "disk save save1 lab:v1", 0, "image lab:v1: the disk of board save1" },
		{ "image list -q", 0, "lab:v1\n" },
		{ "image show lab:v1", 0, "parent:     one\n" },
		{ "image cat lab:v1 /new", 0, "one\n" },
		{ "image diff one lab:v1 -q", 0, "/new\n/usr/lib/random\n" },
		{ "image diff lab:v1 one -o jsonl", 0, "\"change\":\"removed\"" },
		{ "image diff one lab:v1 -o jsonl", 0, "\"what\":[\"content\"" },
		{ "image diff one two", 0, "!/" },
		{ "image diff one ghost", 3, "ghost" },
		{ "image rm one", 1, "" },
		{ "image rm lab:v1", 0, "" }, /* nobody has it yet */
		{ "disk save save1 lab:v1 -q", 0, "lab:v1\n" },
		{ "board add save2 --mac b8:27:eb:03:00:03", 0, "save2" },
		{ "board edit save2 --image lab:v1", 0, "lab:v1" },
		{ "board edit save2 --image lab:v9", 3, "lab:v9" },
		{ "disk cat save2 /new", 0, "one\n" },
		{ "disk diff save2 -q", 0, "!/" },
		{ "disk cp ../tree/sub/two save1:/new", 0, "" },
		{ "disk cat save2 /new", 0, "one\n" },
		{ "disk cp ../tree/sub/two save2:/more", 0, "" },
		{ "disk export save2 save2.raw && e2fsck -fn save2.raw && echo clean", 0, "clean" },
		{ "image rm lab:v1", 1, "save2" },
		{ "image tag lab:v1 lab:latest", 0, "another name" },
		{ "image show lab -q", 0, "lab\n" },
		{ "board edit save2 --image lab:latest", 0, "lab" },
		{ "board show save2 -o json", 0, "\"image\": \"lab\"" },
		{ "image tag one lab", 1, "another image" },
		{ "image tag ghost x", 3, "ghost" },
		{ "image gc --dry-run -q", 0, "!/" },
		/* the board's own host name is in what is saved now, and that is told */
		{ "disk cp ../tree/one save1:/etc/hostname", 0, "" },
		{ "disk save save1 other", 0, "wrote /etc/hostname itself" },
		{ "image rm other", 0, "" },
	};

	NEED_IMAGE();
	assert_int_equal(chdir(sv.state), 0);
	RUN(steps);
	assert_true(event_seen("disk.saved"));
	assert_int_equal(chdir("/"), 0);
}

static void a_board_gets_a_larger_disk(void **state)
{
	static const struct step steps[] = {
		{ "board add big1 --mac b8:27:eb:03:00:06 --size 1G", 0, "big1" },
		{ "board show big1 -o json", 0, "\"disk_size\": \"1073741824\"" },
		{ "disk show big1", 0, "size:       1.1 GB" },
		{ "disk export big1 big1.raw && e2fsck -fn big1.raw && echo clean", 0, "clean" },
		{ "board add big2 --mac b8:27:eb:03:00:07 --size 15T", 0, "big2" },
		{ "disk show big2 -o json", 0, "can grow to" }, /* it boots all the same */
		{ "board edit big1 --size 9X", 2, "no size of a disk" },
		{ "board edit big1 --size 100T", 2, "16 TiB" },
		{ "board edit big1 --size 2M", 2, "no disk becomes smaller (2.1 MB)" },
		{ "board add big4 --mac b8:27:eb:03:00:19 --size 2M", 2, "less than the 8.4 MB of its image's root" },
		/* a persistent disk is made larger when it is opened for the next boot, and keeps that */
		{ "board add big3 --mac b8:27:eb:03:00:18 --disk persistent --size 100M", 0, "big3" },
		{ "disk cp ../tree/one big3:/kept", 0, "" },
		{ "disk show big3", 0, "size:       105 MB" },
		{ "board edit big3 --size 50M", 2, "no disk becomes smaller (52.4 MB)" },
		{ "board edit big3 --size 200M", 0, "big3" },
		{ "disk show big3", 0, "size:       105 MB" },
		{ "board edit big1 --size default", 0, "big1" },
	};

	NEED_IMAGE();
	assert_int_equal(chdir(sv.state), 0);
	RUN(steps);
	assert_int_equal(chdir("/"), 0);
}

static void mounted(const char *name)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_board b;

	assert_int_equal(br_board_by_name(sv.fleet, name, &b), 0);
	if (br_boots_reach(sv.boots, &b, BR_STAGE_MOUNTED, NULL, NULL, &err) < 0)
		fail_msg("%s", err.text);
}

static void snapshots_do_what_they_say(void **state)
{
	static const struct step before[] = {
		{ "board add snap1 --mac b8:27:eb:03:00:04", 0, "snap1" },
		{ "disk snapshots snap1 -q", 0, "" },
		{ "disk cp ../tree/one snap1:/f", 0, "" },
		{ "disk snapshot snap1 clean", 0, "snapshot clean" },
		{ "disk snapshot snap1 clean", 1, "already" },
		{ "disk snapshot snap1 'a b'", 2, "cannot name a snapshot" },
		{ "disk cp ../tree/sub/two snap1:/f", 0, "" },
		{ "disk snapshot snap1 -q", 0, "1\n" },
		{ "disk snapshots snap1 -q", 0, "clean\n1\n" },
		{ "disk list -q", 0, "snap1\n" },
		{ "disk list", 0, "SNAPSHOTS  STATE" },
		{ "disk list -o jsonl | grep snap1", 0, "\"snapshots\":2," },
		{ "disk list -o jsonl | grep snap1", 0, "\"state\":\"open\"" },
		{ "disk list -o jsonl | grep snap1", 0, "\"disk\":\"persistent\"" },
		{ "disk list -o jsonl | grep snap1", 0, "!\"changed_bytes\":null" },
		{ "disk list snap1", 2, "too many" },
		{ "disk show snap1", 0, "layers:     2" },
		{ "disk rollback snap1 none", 3, "no snapshot 'none'" },
		{ "disk rollback snap1 clean", 0, "snapshot clean again" },
		{ "disk cat snap1 /f", 0, "one\n" },
		{ "disk rollback snap1 1", 0, "again" },
		{ "disk cat snap1 /f", 0, "two\n" },
		{ "disk snapshot snap1 1 --remove", 0, "removed" },
		{ "disk snapshot snap1 --remove", 2, "needed" },
		{ "disk rollback snap1 1", 3, "no snapshot" },
		{ "disk reset snap1", 1, "1 snapshot of its disk would go too" },
		{ "board add snap2 --mac b8:27:eb:03:00:05 --disk volatile", 0, "snap2" },
		{ "disk snapshot snap2", 2, "volatile" },
		{ "disk rollback snap2 x", 2, "volatile" },
		{ "disk save snap2 from-volatile", 0, "from-volatile" },
	};
	static const struct step after[] = {
		{ "disk rollback snap1 clean", 1, "has mounted this disk" },
		{ "disk reset snap1", 1, "has mounted this disk" },
		{ "disk rollback snap1 clean --force", 0, "stale" },
		{ "disk cat snap1 /f", 0, "one\n" },
		{ "disk reset snap1 --force", 0, "from its image again" },
		{ "disk cat snap1 /f", 3, "/f" },
		{ "disk snapshots snap1 -q", 0, "" },
		{ "image gc", 0, "removed" },
		{ "disk export snap1 snap1.raw && e2fsck -fn snap1.raw && echo clean", 0, "clean" },
	};

	NEED_IMAGE();
	assert_int_equal(chdir(sv.state), 0);
	RUN(before);
	mounted("snap1");
	RUN(after);
	assert_true(event_seen("disk.snapshot") && event_seen("disk.rollback") && event_seen("disk.reset"));
	assert_int_equal(chdir("/"), 0);
}

static void new_boot(const char *name)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_board b;
	bool fresh = false;

	mounted(name);
	assert_int_equal(br_board_by_name(sv.fleet, name, &b), 0);
	if (br_boots_reach(sv.boots, &b, BR_STAGE_KERNEL_DHCP, NULL, &fresh, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(fresh);
}

static struct br_board_disk *disk_of(const char *name)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_board_disk *disk;
	struct br_plan *plan;
	struct br_board b;

	assert_int_equal(br_board_by_name(sv.fleet, name, &b), 0);
	assert_int_equal(br_boots_plan(sv.boots, &b, &plan, &err), 0);
	if (br_disks_open(sv.disks, plan, &disk, &err) < 0)
		fail_msg("%s", err.text);
	br_plan_unref(plan);
	return disk;
}

/* Runs beside us; its output comes from finish(). */
static FILE *begin(const char *args, const char *path)
{
	br_cleanup(br_freep) char *cmd = br_asprintf(
		"{ %s -g -m 20 --unix-socket '%s' 'http://x/v1/boards/%s'; echo \"end $?\"; } 2>&1", args, sv.socket, path);
	FILE *f = popen(cmd, "r");

	assert_non_null(f);
	usleep(500000); /* under way */
	return f;
}

static void finish(FILE *f, const char *says)
{
	char out[2000];
	size_t n = fread(out, 1, sizeof(out) - 1, f);

	out[n] = 0;
	pclose(f);
	if (!strstr(out, says))
		fail_msg("%s", out);
}

static void a_slow_client_keeps_no_board_waiting(void **state)
{
	static const struct step steps[] = {
		{ "board add slow1 --mac b8:27:eb:03:00:09", 0, "slow1" },
		{ "disk cp ../tree/big slow1:/big", 0, "" },
	};
	FILE *down, *up;

	NEED_IMAGE();
	assert_int_equal(chdir(sv.state), 0);
	RUN(steps);
	down = begin("curl -s --limit-rate 1M -o slow.out", "slow1/disk/cat?path=/big");
	up = begin("(cat ../tree/one; sleep 2; cat ../tree/one) | curl -s -T -", "slow1/disk/file?path=/up");
	new_boot("slow1");
	br_board_disk_unref(sv.disks, disk_of("slow1")); /* the new boot's, at once */
	finish(down, "end 0"); /* the same disk: both go on */
	finish(up, "\"size\"");
	assert_int_equal(test_sh("cmp '%s/tree/big' slow.out", sv.dir), 0);
	assert_int_equal(chdir("/"), 0);
}

/* The file an upload goes to, by its name's beginning. */
static int take_temp(void *ctx, const struct br_fs_dirent *d)
{
	if (!strncmp(d->name, ".bramble-cp-", 12))
		br_strcpy(ctx, 64, d->name);
	return 0;
}

static void an_upload_never_goes_to_another_file(void **state)
{
	static const struct step steps[] = {
		{ "board add slow2 --mac b8:27:eb:03:00:0a", 0, "slow2" },
	};
	struct br_fs_new new = { .mode = S_IFREG | 0644 };
	struct br_board_disk *disk;
	struct br_fs *fs;
	uint64_t ino, other, root;
	char temp[64] = "", buf[20] = "";
	size_t got;
	bool eof;
	FILE *up;

	NEED_IMAGE();
	assert_int_equal(chdir(sv.state), 0);
	RUN(steps);
	up = begin("(cat ../tree/one; sleep 2; cat ../tree/one) | curl -s -T -", "slow2/disk/file?path=/up");
	disk = disk_of("slow2");
	pthread_mutex_lock(&disk->lock);
	fs = disk->fs;
	root = fs->ops->root(fs);
	assert_int_equal(fs->ops->readdir(fs, root, 0, take_temp, temp, &eof), 0);
	assert_int_equal(fs->ops->lookup(fs, root, temp, &ino), 0);
	assert_int_equal(fs->ops->unlink(fs, root, temp), 0);
	assert_int_equal(fs->ops->create(fs, root, "mine", &new, &other), 0);
	assert_int_equal(other, ino);
	pthread_mutex_unlock(&disk->lock);
	finish(up, "error");
	pthread_mutex_lock(&disk->lock);
	assert_int_equal(fs->ops->read(fs, other, 0, buf, sizeof(buf), &got, &eof), 0);
	assert_int_equal(got, 0);
	assert_int_equal(fs->ops->lookup(fs, root, "up", &ino), -ENOENT);
	pthread_mutex_unlock(&disk->lock);
	br_board_disk_unref(sv.disks, disk);
	assert_int_equal(chdir("/"), 0);
}

/* A board's next boot is of what the name stands for then; the one under way is not disturbed. */
static void directories_are_shared(void **state)
{
	static const struct step steps[] = {
		{ "share list", 0, "" },
		{ "share add one ../tree2", 0, "tree2 is /share/one to boards, read-only" },
		{ "share add one ../tree2", 1, "there is one of this name" },
		{ "share add two ../tree2 --rw --boards pi[1-3],x --owner 7:8", 0, "to read and write" },
		{ "share add three ../nope", 3, "../nope" },
		{ "share add three ../tree2/file", 1, "Not a directory" },
		{ "share add 'a/b' ../tree2", 2, "cannot name a share" },
		{ "share add three ../tree2 --boards 'pi['", 2, "boards" },
		{ "share add three ../tree2 --owner root", 2, "UID:GID" },
		{ "share add three ../tree2 --ro --rw", 2, "one of them" },
		{ "share add three", 2, "a name and a directory" },
		{ "share list -q", 0, "one\ntwo\n" },
		{ "share list -o jsonl", 0, "\"boards\":\"pi[1-3],x\",\"owner\":\"7:8\",\"origin\":\"set\"}" },
		{ "share list", 0, "ok" },
		{ "share list; rm -r ../tree2", 0, "ok" },
		{ "share list", 0, "No such file" },
		{ "share rm one two", 0, "removed two" },
		{ "share rm one", 3, "no share is named 'one'" },
		{ "board add share --mac b8:27:eb:03:00:77", 2, "choose another" },
	};

	assert_int_equal(test_sh("mkdir '%s/tree2' && : >'%s/tree2/file'", sv.dir, sv.dir), 0);
	assert_int_equal(chdir(sv.state), 0);
	RUN(steps);
	assert_true(event_seen("share.added") && event_seen("share.removed"));
	assert_int_equal(chdir("/"), 0);
}

static void boards_have_areas_that_stay(void **state)
{
	static const struct step steps[] = {
		{ "board add stay1 --mac b8:27:eb:03:00:21 --persist 20M --disk ram", 0, "ram" },
		{ "board show stay1", 0, "persist:    20971520" },
		{ "board edit stay1 --persist 1M", 2, "16M to 16T" },
		{ "board edit stay1 --persist many", 2, "none of off, on" },
		{ "board edit stay1 --disk memory", 2, "'ram' is needed" },
		{ "disk snapshot stay1", 2, "no persistent disk" },
		{ "disk list -o jsonl", 0, "!persist\"" },
	};
	static const struct step after[] = {
		{ "disk list -o jsonl | grep stay1", 0, "\"disk\":\"persist\",\"state\":\"open\"" },
		{ "disk reset stay1", 0, "" },
		{ "disk list -o jsonl | grep stay1", 0, "\"disk\":\"persist\"" },
		{ "image gc", 0, "" }, /* a grown one stands on a layer */
		{ "board edit stay1 --persist off", 0, "" },
		{ "board show stay1", 0, "!20971520" },
	};
	struct br_error err = BR_ERROR_NULL;
	struct br_persist_area *area;
	const struct br_fs_new file = { .mode = S_IFREG | 0644 };
	struct br_fs_statfs st;
	uint8_t id[16];
	struct br_board b;
	uint64_t ino;

	NEED_IMAGE();
	test_needs("mke2fs");
	RUN(steps);
	assert_int_equal(br_board_by_name(sv.fleet, "stay1", &b), 0);
	if (br_persist_open(sv.persist, b.id, 20 << 20, &area, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(area->fs->ops->create(area->fs, area->fs->ops->root(area->fs), "kept", &file, &ino), 0);
	memcpy(id, area->id, 16);
	assert_null(br_persist_by_id(sv.persist, b.id, (const uint8_t[16]){ 0 }));
	br_persist_area_unref(sv.persist, area);
	RUN(after);
	/* another start of ours: the same, and larger */
	br_persist_free(sv.persist);
	assert_int_equal(br_persist_new(sv.state, sv.store, &sv.persist, &err), 0);
	sv.api = (br_api_stop(sv.api), NULL);
	struct br_api_options ao = { .fleet = sv.fleet, .boots = sv.boots, .disks = sv.disks, .shares = sv.shares,
		.persist = sv.persist, .store = sv.store, .socket_path = sv.socket, .status = { .interface = "br0", .dhcp = "full" } };
	assert_int_equal(br_api_start(&ao, &sv.api, &err), 0);
	assert_int_equal(br_persist_open(sv.persist, b.id, 300 << 20, &area, &err), 0);
	assert_memory_equal(area->id, id, 16);
	assert_string_equal(area->problem, "");
	assert_int_equal(br_fs_walk(area->fs, "/kept", &ino), 0);
	assert_int_equal(area->fs->ops->statfs(area->fs, &st), 0);
	assert_true(st.total_bytes > 250 << 20);
	assert_int_equal(area->fs->ops->commit(area->fs), 0);
	/* in use it is not taken away; removed it is new */
	br_persist_area_unref(sv.persist, area);
	assert_int_equal(br_persist_remove(sv.persist, b.id, &err), 0);
	assert_int_equal(br_persist_open(sv.persist, b.id, 20 << 20, &area, &err), 0);
	assert_int_equal(br_fs_walk(area->fs, "/kept", &ino), -ENOENT);
	assert_memory_not_equal(area->id, id, 16);
	br_persist_area_unref(sv.persist, area);
}

static void a_name_that_moves_is_followed(void **state)
{
	static const struct step before[] = {
		{ "image tag one moving", 0, "another name" },
		{ "board add mv1 --mac b8:27:eb:03:00:08 --image moving --disk volatile", 0, "mv1" },
		{ "disk cp ../tree/one mv1:/mine", 0, "" },
		{ "disk save mv1 mine:v2", 0, "mine:v2" },
		{ "image tag mine:v2 moving", 1, "--replace" },
		{ "image tag mine:v2 moving --replace", 0, "" },
		{ "disk cp ../tree/sub/two mv1:/mine", 0, "" },
		{ "disk cat mv1 /mine", 0, "two\n" },
	};
	static const struct step after[] = {
		{ "disk cat mv1 /mine", 0, "one\n" },
	};

	NEED_IMAGE();
	assert_int_equal(chdir(sv.state), 0);
	RUN(before);
	new_boot("mv1");
	RUN(after);
	assert_int_equal(chdir("/"), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(files_are_copied_both_ways),
		cmocka_unit_test(a_disk_is_saved_and_boots_elsewhere),
		cmocka_unit_test(a_board_gets_a_larger_disk),
		cmocka_unit_test(snapshots_do_what_they_say),
		cmocka_unit_test(directories_are_shared),
		cmocka_unit_test(boards_have_areas_that_stay),
		cmocka_unit_test(a_name_that_moves_is_followed),
		cmocka_unit_test(a_slow_client_keeps_no_board_waiting),
		cmocka_unit_test(an_upload_never_goes_to_another_file),
	};

	if (argc > 1 && !strcmp(argv[1], "--cli"))
		return br_cli_main(argc - 1, argv + 1);
	return cmocka_run_group_tests(tests, start, stop);
}
