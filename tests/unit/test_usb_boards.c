/* SPDX-License-Identifier: Apache-2.0 */
/* Virtual boards on the ports of a host in this process, a session for each: all at once, and everything that can go wrong. */
#include "test.h"

#include <limits.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/file.h"
#include "base/text.h"
#include "sim/usbinside.h"
#include "sim/usbpayload.h"
#include "testdata.h"
#include "usb/manager.h"
#include "usb/payload.h"
#include "usb/session.h"

#define MAX_BOARDS 48

/* ---- a payload of made-up files ---- */

static const struct made {
	const char *dir; /* NULL: for all chips */
	const char *name;
	size_t size;
} made[] = {
	{ "2710", "bootcode.bin", 52476 }, { "2710", "bootcode.sig", 20 }, { "2710", "start.elf", 300001 },
	{ "2710", "fixup.dat", 7000 }, { "2711", "bootcode4.bin", 73120 }, { "2711", "mcb.bin", 11696 },
	{ "2711", "memsys00.bin", 20492 }, { "2711", "memsys08.bin", 16384 }, { "2711", "bootmain", 265712 },
	{ "2711", "pieeprom.sig", 100 }, { "2711", "pieeprom.bin", 524288 }, { "2711", "start4.elf", 1 << 20 },
	{ "2712", "bootcode5.bin", 78332 }, { "2712", "mcb.bin", 7092 }, { "2712", "memsys03.bin", 40972 },
	{ "2712", "bootmain", 556668 }, { "2712", "boot.img", 3 << 20 }, { "2712", "boot.sig", 300 },
	{ NULL, "config.txt", 31 },
};

static const struct made *find_made(const char *dir, const char *name)
{
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		if ((!made[i].dir || !strcmp(made[i].dir, dir)) && !strcmp(made[i].name, name))
			return &made[i];
	return NULL;
}

static void fill(const struct made *m, uint64_t offset, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++, offset++)
		out[i] = (uint8_t)(offset * 7 + (offset >> 8) + (size_t)(m - made) + 1);
}

static int made_open(struct br_usb_files *files, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	const char *name, struct br_usb_file *ret, struct br_error *err)
{
	const struct made *m = find_made(model->dir, name);

	assert_true(!strstr(name, "..") && name[0] != '/');
	if (!m)
		return -ENOENT;
	*ret = (struct br_usb_file){ .size = m->size, .handle = (void *)(uintptr_t)m };
	return 0;
}

static int made_read(struct br_usb_files *files, const struct br_usb_file *file, uint64_t offset, void *buf, size_t n,
	struct br_error *err)
{
	assert_true(offset <= file->size && n <= file->size - offset);
	fill(file->handle, offset, buf, n);
	return 0;
}

static void made_close(struct br_usb_files *files, struct br_usb_file *file)
{
}

static const struct br_usb_files_ops made_ops = { made_open, made_read, made_close };
static struct br_usb_files made_files = { &made_ops };

/* ---- the host, and a session for each of its ports ---- */

struct place {
	struct br_sim_rom_config config;
	struct br_usb_session *s;
	unsigned seen[BR_SIM_ROM_GAVE_UP + 1];
	char wrong[200]; /* the first complaint */
};

static struct lab {
	struct br_usb_files *files;
	const struct br_sim_usb_payload *real; /* what boards expect; NULL: the made-up files */
	struct br_sim_usb_inside *inside;
	struct br_usb_host *host;
	struct place places[MAX_BOARDS];
	size_t n;
	uint64_t now_ns;
} lab;

static int on_expected(void *ctx, const char *name, uint64_t *ret_size, uint32_t *ret_crc)
{
	const struct place *p = ctx;
	const struct made *m = find_made(br_usbboot_model(BR_USBBOOT_VENDOR, p->config.kind->product_id)->dir, name);
	uint8_t block[4096];

	if (lab.real)
		return br_sim_usb_payload_find(lab.real, p->config.kind, name, ret_size, ret_crc);
	if (!m)
		return 0;
	*ret_size = m->size;
	*ret_crc = 0;
	for (uint64_t at = 0; at < m->size; at += sizeof(block)) {
		size_t n = m->size - at < sizeof(block) ? (size_t)(m->size - at) : sizeof(block);

		fill(m, at, block, n);
		*ret_crc = br_crc32c(*ret_crc, block, n);
	}
	return 1;
}

static void on_event(void *ctx, const struct br_sim_rom_event *e)
{
	struct place *p = ctx;

	p->seen[e->what]++;
	if (e->what == BR_SIM_ROM_WRONG && !p->wrong[0])
		snprintf(p->wrong, sizeof(p->wrong), "%s: %s", e->name, e->text);
}

static void on_arrived(void *ctx, struct br_usb_device *dev)
{
	br_usb_session_arrived(lab.places[dev->port - 1].s, dev, lab.now_ns);
}

static void on_left(void *ctx, struct br_usb_device *dev)
{
	br_usb_session_left(lab.places[dev->port - 1].s, dev, lab.now_ns);
}

static void on_completed(void *ctx, struct br_usb_device *dev, struct br_usb_transfer *t)
{
	br_usb_session_completed(lab.places[dev->port - 1].s, t, lab.now_ns);
}

static void lab_begin(void)
{
	memset(&lab, 0, sizeof(lab));
	lab.inside = br_sim_usb_inside_new();
	assert_non_null(lab.inside);
	lab.host = br_sim_usb_inside_host(lab.inside);
	lab.host->callbacks = (struct br_usb_callbacks){ on_arrived, on_left, on_completed, NULL };
	lab.now_ns = 1000 * BR_S;
	lab.files = &made_files;
}

static void lab_add(const char *kind, const char *quirk, bool sign)
{
	struct place *p = &lab.places[lab.n];
	struct br_usb_session_options o = { .host = lab.host, .files = lab.files, .sign = sign };
	struct br_error err = BR_ERROR_NULL;
	char path[BR_USB_PATH_MAX];

	assert_true(lab.n < MAX_BOARDS);
	p->config = (struct br_sim_rom_config){ .kind = br_sim_rom_kind_by_id(kind), .serial = 0x10000000 + (uint32_t)lab.n,
		.speed = 1, .expected = on_expected, .event = on_event, .ctx = p };
	assert_non_null(p->config.kind);
	assert_int_equal(br_sim_rom_quirk_parse(quirk, &p->config.quirk, &p->config.value, &err), 0);
	assert_int_equal(br_sim_usb_inside_add(lab.inside, &p->config), (int)lab.n);
	snprintf(path, sizeof(path), "1-%zu", lab.n + 1);
	assert_int_equal(br_usb_session_new(&o, path, &p->s), 0);
	lab.n++;
}

/* Until every session has its verdict; time jumps to whatever is next. */
static void lab_run(void)
{
	struct br_error err = BR_ERROR_NULL;

	for (size_t running = 1, turns = 0; running; turns++) {
		uint64_t next;

		assert_true(turns < 10000000);
		assert_int_equal(lab.host->ops->handle(lab.host, lab.now_ns, &err), 0);
		next = lab.host->ops->next_ns(lab.host, lab.now_ns);
		running = 0;
		for (size_t i = 0; i < lab.n; i++) {
			struct br_usb_session *s = lab.places[i].s;
			uint64_t t = br_usb_session_tick(s, lab.now_ns);

			next = t < next ? t : next;
			running += !br_usb_session_verdict(s) || br_usb_session_busy(s);
		}
		if (lab.host->ops->next_ns(lab.host, lab.now_ns) <= lab.now_ns)
			continue; /* a tick submitted something */
		assert_true(next != UINT64_MAX || !running);
		if (next != UINT64_MAX)
			lab.now_ns = next > lab.now_ns ? next : lab.now_ns;
	}
}

static void lab_end(void)
{
	for (size_t i = 0; i < lab.n; i++)
		br_usb_session_free(lab.places[i].s);
	lab.host->ops->free(lab.host);
}

/* False, with the timeline, when it is another one. */
static bool is_verdict(size_t i, enum br_usb_verdict verdict, const char *words)
{
	const struct place *p = &lab.places[i];
	const struct br_usb_step *steps;
	size_t n;

	steps = br_usb_session_steps(p->s, &n);
	if (br_usb_session_verdict(p->s) == verdict && strstr(br_usb_session_reason(p->s), words))
		return true;
	for (size_t k = 0; k < n && k < 50; k++)
		print_message("# %12.3f %s %s %s\n", (double)(steps[k].at_ns / 1000) / 1e6, br_usb_step_name(steps[k].kind),
			steps[k].name, steps[k].detail);
	print_message("# %s %s: verdict %s: %s; expected %s: ...%s...\n", p->config.kind->id,
		br_sim_rom_quirk_at(p->config.quirk)->name, br_usb_verdict_name(br_usb_session_verdict(p->s)),
		br_usb_session_reason(p->s), br_usb_verdict_name(verdict), words);
	return false;
}

/* ---- the tests ---- */

static void sixteen_at_once(void **state)
{
	static const char *const kinds[] = { "cm1", "cm3", "zero2", "cm4", "cm5" };
	uint64_t began_ns;

	lab_begin();
	for (size_t i = 0; i < 16; i++)
		lab_add(kinds[i % 5], "plain", false);
	began_ns = lab.now_ns;
	lab_run();
	for (size_t i = 0; i < 16; i++) {
		const struct place *p = &lab.places[i];
		unsigned files;
		size_t n;

		assert_true(is_verdict(i, BR_USB_DONE, "done after"));
		assert_string_equal(p->wrong, "");
		assert_int_equal(br_sim_rom_phase(br_sim_usb_inside_board(lab.inside, i)), BR_SIM_ROM_GOOD);
		br_usb_session_bytes(p->s, &files);
		assert_int_equal(files, p->seen[BR_SIM_ROM_FILE]);
		br_usb_session_metadata(p->s, &n);
		assert_int_equal(n, p->seen[BR_SIM_ROM_METADATA]);
		assert_int_equal(p->seen[BR_SIM_ROM_METADATA], i % 5 == 3 ? 9 : 0); /* only that one got an EEPROM */
		assert_int_equal(p->seen[BR_SIM_ROM_FIRST_STAGE], 1);
	}
	assert_true(lab.now_ns - began_ns < 20 * BR_S); /* of one board: nobody waits for another */
	lab_end();
}

static const struct trouble {
	const char *kind, *quirk;
	enum br_usb_verdict verdict;
	const char *words;
	enum br_sim_rom_phase phase; /* of the board, in the end */
	bool sign;
} troubles[] = {
	{ "cm3", "signed", BR_USB_DONE, "done after 3 files", BR_SIM_ROM_GOOD, .sign = true },
	{ "cm3", "signed", BR_USB_REFUSED, "status 0x1", BR_SIM_ROM_BAD },
	{ "cm4", "gadget", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm4", "no-done", BR_USB_NEXT_STAGE, "18d1:4e40", BR_SIM_ROM_GOOD },
	{ "cm5", "no-done=30s", BR_USB_NEXT_STAGE, "18d1:4e40", BR_SIM_ROM_GOOD },
	{ "cm4", "no-gadget", BR_USB_VANISHED, "no next stage", BR_SIM_ROM_GOOD },
	{ "cm4", "silent", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm4", "silent=40s", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm4", "silent=2m", BR_USB_SILENT, "asked for nothing more in 1 m", BR_SIM_ROM_RUNNING },
	{ "cm5", "slow=100K", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm5", "mute", BR_USB_NOT_SENT, "timed out", BR_SIM_ROM_RUNNING },
	{ "cm4", "no-endpoint", BR_USB_NOT_SENT, "", BR_SIM_ROM_RUNNING },
	{ "cm3", "stall-rom", BR_USB_NOT_SENT, "stall", BR_SIM_ROM_RUNNING },
	{ "cm3", "stall-rom=2", BR_USB_DONE, "", BR_SIM_ROM_GOOD }, /* and a halt that nobody clears is for ever */
	{ "cm4", "stall-file=2", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm3", "stall-request", BR_USB_BROKEN_OFF, "stall", BR_SIM_ROM_RUNNING },
	{ "cm4", "stall-file", BR_USB_BROKEN_OFF, "stall", BR_SIM_ROM_RUNNING },
	{ "cm4", "short-status", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm4", "short-request", BR_USB_NO_SENSE, "", BR_SIM_ROM_RUNNING },
	{ "cm3", "vanish-rom", BR_USB_VANISHED, "before it had the first stage", BR_SIM_ROM_BAD },
	{ "cm4", "vanish", BR_USB_VANISHED, "of memsys00.bin, after 1 whole file", BR_SIM_ROM_BAD },
	{ "cm4", "no-return", BR_USB_NEVER_BACK, "the ROM never came back after the first stage", BR_SIM_ROM_BAD },
	{ "cm5", "no-return", BR_USB_NEVER_BACK, "the ROM never came back after the first stage", BR_SIM_ROM_BAD },
	{ "cm3", "bad-status=5", BR_USB_REFUSED, "status 0x5", BR_SIM_ROM_BAD },
	{ "cm4", "rom-index", BR_USB_BROKEN_OFF, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "stage-index", BR_USB_NOT_SENT, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "resets", BR_USB_RESETS, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "loop", BR_USB_RESETS, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "command", BR_USB_NO_SENSE, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "command=4294967295", BR_USB_NO_SENSE, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "order", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm4", "endless", BR_USB_ENDLESS, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "flood", BR_USB_ENDLESS, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "missing", BR_USB_VANISHED, "before it had a file", BR_SIM_ROM_BAD },
	{ "cm4", "name-dots", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm4", "name-absolute", BR_USB_DONE, "", BR_SIM_ROM_GOOD },
	{ "cm4", "name-long", BR_USB_NO_SENSE, "", BR_SIM_ROM_RUNNING },
	{ "cm4", "name-unprintable", BR_USB_NO_SENSE, "", BR_SIM_ROM_RUNNING },
};

static bool is_as_told(size_t i, const struct trouble *x)
{
	const struct place *p = &lab.places[i];
	const struct br_sim_rom *b = br_sim_usb_inside_board(lab.inside, i);
	enum br_sim_rom_quirk q = p->config.quirk;
	bool fine = is_verdict(i, x->verdict, x->words);

	if (br_sim_rom_wrong(b) != (q == BR_SIM_ROM_SIGNED && !x->sign) || br_sim_rom_phase(b) != x->phase ||
		(q != BR_SIM_ROM_SIGNED && q != BR_SIM_ROM_GADGET && !p->seen[BR_SIM_ROM_ODD])) {
		print_message("# %s %s: phase %d, struck %u times, complains %u times, first of %s\n", x->kind, x->quirk,
			br_sim_rom_phase(b), p->seen[BR_SIM_ROM_ODD], br_sim_rom_wrong(b), p->wrong);
		fine = false;
	}
	if (q == BR_SIM_ROM_NAME_DOTS || q == BR_SIM_ROM_NAME_ABSOLUTE)
		fine = fine && p->seen[BR_SIM_ROM_REFUSED] == 2;
	return fine;
}

/* All of them at once: what one board does is nothing to another. */
static void each_trouble_has_its_verdict(void **state)
{
	unsigned wrong = 0;

	lab_begin();
	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++)
		lab_add(troubles[i].kind, troubles[i].quirk, troubles[i].sign);
	lab_run();
	for (size_t i = 0; i < sizeof(troubles) / sizeof(troubles[0]); i++)
		wrong += !is_as_told(i, &troubles[i]);
	assert_int_equal(wrong, 0);
	lab_end();
}

static void put(const char *dir, const char *name, size_t size)
{
	br_cleanup(br_freep) char *path = br_asprintf("%s/%s", dir, name), *data = malloc(size);
	FILE *f = fopen(path, "wb");

	assert_true(f && data);
	for (size_t i = 0; i < size; i++)
		data[i] = (char)(i * 31 + (i >> 9) + (uint8_t)name[5]);
	assert_int_equal(fwrite(data, 1, size, f), size);
	assert_int_equal(fclose(f), 0);
}

/* The server reads the payload, the boards know it from libarchive: what Raspberry Pi publishes, and loose files. */
static void real_files_arrive(void **state)
{
	static const char *const kinds[] = { "cm4", "cm5", "cm3", "cm4" };
	const char *tar = test_data("bootfiles.bin");
	br_cleanup(br_freep) char *dir = NULL, *data = NULL, *copy = NULL;
	struct br_sim_usb_payload *expected = NULL;
	struct br_usb_payload *payload = NULL;
	struct br_usb_directory opt = { 0 };
	struct br_error err = BR_ERROR_NULL;
	char sub[PATH_MAX];
	size_t n;
	FILE *f;

	if (!tar)
		skip();
	dir = br_asprintf("%s/payload", test_dir());
	opt.dir = dir;
	assert_int_equal(br_file_read(tar, 16 << 20, &data, &n, &err), 0);
	copy = br_asprintf("%s/bootfiles.bin", dir);
	assert_int_equal(mkdir(dir, 0755), 0);
	snprintf(sub, sizeof(sub), "%s/2710", dir);
	assert_int_equal(mkdir(sub, 0755), 0);
	snprintf(sub, sizeof(sub), "%s/2712", dir);
	assert_int_equal(mkdir(sub, 0755), 0);
	f = fopen(copy, "wb");
	assert_true(f && fwrite(data, 1, n, f) == n && fclose(f) == 0);
	put(dir, "2710/bootcode.bin", 50000);
	put(dir, "2710/start.elf", 1234567);
	put(dir, "2712/boot.img", 2000001);
	put(dir, "boot.sig", 600);
	put(dir, "start4.elf", 2222222);
	put(dir, "config.txt", 40);
	assert_int_equal(br_sim_usb_payload_open(dir, &expected, &err), 0);
	assert_int_equal(br_usb_payload_directory(&opt, &payload, &err), 0);
	lab_begin();
	lab.real = expected;
	lab.files = br_usb_payload_files(payload);
	for (size_t i = 0; i < 16; i++)
		lab_add(kinds[i % 4], "plain", false);
	lab_run();
	for (size_t i = 0; i < 16; i++) {
		assert_true(is_verdict(i, BR_USB_DONE, "done after"));
		assert_string_equal(lab.places[i].wrong, "");
		assert_true(lab.places[i].seen[BR_SIM_ROM_FILE] >= 2);
	}
	lab_end();
	br_usb_payload_unref(payload);
	br_sim_usb_payload_close(expected);
}

static void a_port_that_may_not_be_opened(void **state)
{
	lab_begin();
	lab_add("cm4", "plain", false);
	lab_add("cm4", "plain", false);
	lab_add("cm4", "plain", false);
	br_sim_usb_inside_refuse(lab.inside, 0, -EACCES);
	br_sim_usb_inside_refuse(lab.inside, 1, -EBUSY);
	lab_run();
	assert_true(is_verdict(0, BR_USB_NO_PERMISSION, ""));
	assert_true(is_verdict(1, BR_USB_NOT_OPENED, ""));
	assert_true(is_verdict(2, BR_USB_DONE, ""));
	lab_end();
}

/* ---- all of them under the manager of 'bramble usb' ---- */

static struct managed {
	unsigned well[MAX_BOARDS], failed[MAX_BOARDS], held[MAX_BOARDS];
} managed;

static size_t place_of(const char *path)
{
	return strtoul(path + 2, NULL, 10) - 1;
}

static int manager_choose(void *ctx, const struct br_usb_device *dev, const struct br_usbboot_model *model,
	struct br_usb_choice *ret)
{
	*ret = (struct br_usb_choice){ .files = lab.files };
	return 1;
}

static void manager_ended(void *ctx, struct br_usb_session *s)
{
	size_t i = place_of(br_usb_session_path(s));

	managed.well[i] += br_usb_verdict_is_well(br_usb_session_verdict(s));
	managed.failed[i] += !br_usb_verdict_is_well(br_usb_session_verdict(s));
}

static void manager_held(void *ctx, const struct br_usb_device *dev, const char *reason)
{
	managed.held[place_of(dev->path)]++;
}

/* A quarter of an hour of a bench with sixteen ports, on which some boards are in a bad way. */
static void a_bench_of_sixteen(void **state)
{
	static const struct {
		const char *kind, *quirk;
		bool well, held;
	} bench[] = {
		{ "cm3", "plain", true }, { "cm4", "resets=3s", false, true }, { "cm5", "plain", true }, { "cm4", "loop" },
		{ "cm4", "plain", true }, { "cm4", "vanish" }, { "zero2", "slow=300K", true }, { "cm4", "no-return" },
		{ "cm5", "silent", true }, { "cm5", "stall-file" }, { "cm4", "gadget", true }, { "cm3", "mute" },
		{ "cm1", "plain", true }, { "cm4", "flood" }, { "cm4", "no-done", true }, { "cm5", "name-dots", true },
	};
	static const struct br_usb_manager_ops ops = { manager_choose, NULL, manager_ended, manager_held };
	struct br_usb_manager_options o = { .ops = &ops };
	struct br_usb_manager *m = NULL;
	struct br_error err = BR_ERROR_NULL;
	uint64_t until_ns;

	memset(&managed, 0, sizeof(managed));
	lab_begin();
	for (size_t i = 0; i < sizeof(bench) / sizeof(bench[0]); i++)
		lab_add(bench[i].kind, bench[i].quirk, false);
	o.host = lab.host;
	assert_int_equal(br_usb_manager_new(&o, &m), 0);
	until_ns = lab.now_ns + 900 * BR_S;
	while (lab.now_ns < until_ns) {
		uint64_t next;

		assert_int_equal(br_usb_manager_tick(m, lab.now_ns, &next, &err), 0);
		lab.now_ns = next > lab.now_ns ? next : lab.now_ns;
	}
	for (size_t i = 0; i < sizeof(bench) / sizeof(bench[0]); i++) {
		const struct place *p = &lab.places[i];

		if (managed.well[i] != bench[i].well || !managed.failed[i] == !bench[i].well || !managed.held[i] == bench[i].held ||
			p->wrong[0])
			fail_msg("%s %s: %u well, %u failed, held %u times, complains of '%s'", bench[i].kind, bench[i].quirk,
				managed.well[i], managed.failed[i], managed.held[i], p->wrong);
	}
	assert_int_equal(br_usb_manager_running(m), 0);
	br_usb_manager_free(m);
	lab_end();
}

/* ---- the board by itself: what a wrong host hears ---- */

static struct place alone;

static struct br_sim_rom *board_alone(const char *kind, uint64_t now_ns)
{
	struct br_sim_rom *b;

	memset(&alone, 0, sizeof(alone));
	alone.config = (struct br_sim_rom_config){ .kind = br_sim_rom_kind_by_id(kind), .serial = 0x1234abcd,
		.expected = on_expected, .event = on_event, .ctx = &alone };
	b = br_sim_rom_new(&alone.config);
	assert_non_null(b);
	br_sim_rom_step(b, now_ns);
	assert_int_equal(br_sim_rom_attached(b), 1);
	return b;
}

static int length(struct br_sim_rom *b, uint32_t n)
{
	struct br_usbboot_setup s = br_usbboot_setup(n);

	return br_sim_rom_control(b, BR_S, BR_USBBOOT_OUT, 0, s.value, s.index, NULL, 0);
}

static void a_wrong_host_is_told_so(void **state)
{
	static uint8_t big[40000];
	uint8_t first[BR_USBBOOT_FIRST], data[300], string[255];
	struct br_sim_rom *b = board_alone("cm4", BR_S);

	assert_int_equal(br_sim_rom_device(b)[16], 3);
	assert_int_equal(br_sim_rom_string(b, 3, string), 18);
	assert_memory_equal(string + 2, "1\0" "2\0" "3\0" "4\0", 8);
	assert_int_equal(br_sim_rom_string(b, 9, string), -EPIPE);
	/* not ours: a class request, another vendor request */
	assert_int_equal(br_sim_rom_control(b, BR_S, 0xa1, 0xfe, 0, 0, data, 1), -EPIPE);
	assert_int_equal(br_sim_rom_control(b, BR_S, 0xc0, 1, 0, 0, data, 4), -EPIPE);
	assert_int_equal(br_sim_rom_wrong(b), 0);
	assert_int_equal(length(b, 25), -EPIPE);
	assert_int_equal(br_sim_rom_bulk_out(b, BR_S, 1, data, 24), -EPIPE); /* nothing announced */
	assert_int_equal(br_sim_rom_bulk_out(b, BR_S, 3, data, 24), -EPIPE);
	assert_int_equal(br_sim_rom_control(b, BR_S, BR_USBBOOT_IN, 0, 4, 0, data, 4), -EPIPE);
	assert_int_equal(br_sim_rom_wrong(b), 3);
	/* a length of 0, then one that is not what follows */
	memset(first, 0, sizeof(first));
	assert_int_equal(length(b, 24), 0);
	assert_int_equal(br_sim_rom_bulk_out(b, BR_S, 1, first, 25), -EPIPE);
	assert_int_equal(br_sim_rom_bulk_out(b, BR_S, 1, first, 10), 0);
	assert_int_equal(length(b, 24), -EPIPE);
	assert_int_equal(br_sim_rom_bulk_out(b, BR_S, 1, first + 10, 14), -EPIPE);
	br_usbboot_put_first(first, sizeof(big), NULL);
	br_sim_rom_free(b);

	b = board_alone("cm4", BR_S);
	assert_int_equal(length(b, 24), 0);
	assert_int_equal(br_sim_rom_bulk_out(b, BR_S, 1, first, 24), 0);
	assert_int_equal(length(b, sizeof(big) + 1), -EPIPE);
	assert_int_equal(length(b, sizeof(big)), 0);
	assert_int_equal(br_sim_rom_bulk_out(b, BR_S, 1, big, sizeof(big)), 0); /* too much at once, and not bootcode4.bin */
	assert_int_equal(br_sim_rom_wrong(b), 3);
	assert_int_equal(br_sim_rom_control(b, BR_S, BR_USBBOOT_IN, 0, 4, 0, data, 4), 4);
	assert_int_not_equal(data[0], 0);
	assert_int_equal(br_sim_rom_phase(b), BR_SIM_ROM_BAD);
	br_sim_rom_free(b);
}

static void quirks_are_read_with_their_values(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t value;
	} cases[] = {
		{ "vanish", 0, 0 }, { "silent", 0, 15 * BR_S }, { "silent=25s", 0, 25 * BR_S }, { "slow=200K", 0, 200 << 10 },
		{ "bad-status=7", 0, 7 }, { "vanish=1", -EINVAL, 0 }, { "slow=0", -EINVAL, 0 }, { "silent=x", -EINVAL, 0 },
		{ "nonsense", -EINVAL, 0 }, { "", -EINVAL, 0 },
	};
	enum br_sim_rom_quirk q;
	uint64_t value;
	struct br_error err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		err = BR_ERROR_NULL;
		assert_int_equal(br_sim_rom_quirk_parse(cases[i].text, &q, &value, &err), cases[i].r);
		if (!cases[i].r)
			assert_int_equal(value, cases[i].value);
		else
			assert_true(err.text[0]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sixteen_at_once),
		cmocka_unit_test(each_trouble_has_its_verdict),
		cmocka_unit_test(real_files_arrive),
		cmocka_unit_test(a_port_that_may_not_be_opened),
		cmocka_unit_test(a_bench_of_sixteen),
		cmocka_unit_test(a_wrong_host_is_told_so),
		cmocka_unit_test(quirks_are_read_with_their_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
