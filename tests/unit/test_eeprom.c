/* SPDX-License-Identifier: Apache-2.0 */
/* EEPROM images: stock ones where they are there, and made ones; changes beside an independent model's hashes; damage. */
#include "test.h"

#include "base/bytes.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/hash.h"
#include "eepromimage.h"
#include "pi/eeprom.h"
#include "pi/eepromcheck.h"
#include "testdata.h"

static const char config[] = "# ours\n[all]\nBOOT_UART=1\nBOOT_ORDER=0xf21\n";
static const char *const stock[] = { "2711-2020-09-03", "2711-2026-05-17", "2712-2024-09-23", "2712-2026-08-12" };

static bool stock_image(size_t i, struct br_eeprom *ret)
{
	br_cleanup(br_freep) char *data = NULL;
	char name[100];
	const char *path;
	size_t len;

	snprintf(name, sizeof(name), "eeprom/%s.bin", stock[i]);
	path = test_data(name);
	if (!path)
		return false;
	assert_int_equal(br_file_read(path, 1 << 22, &data, &len, NULL), 0);
	assert_int_equal(br_eeprom_open(data, len, ret, NULL), 0);
	return true;
}

static void made_image(enum image_form form, struct br_eeprom *ret)
{
	struct br_error err = BR_ERROR_NULL;
	size_t len;
	uint8_t *data = image_make(form, config, &len);

	if (br_eeprom_open(data, len, ret, &err) < 0)
		fail_msg("%s", err.text);
	free(data);
}

/* Image i: first the made ones, then the stock ones. False: not there. */
#define IMAGES (IMAGE_FORMS + BR_ARRAY_SIZE(stock))
static bool any_image(size_t i, struct br_eeprom *ret)
{
	if (i >= IMAGE_FORMS)
		return stock_image(i - IMAGE_FORMS, ret);
	made_image((enum image_form)i, ret);
	return true;
}

static void same_in_same_out(void **state)
{
	for (size_t i = 0; i < IMAGES; i++) {
		struct br_eeprom e = { 0 }, was = { 0 };

		if (!any_image(i, &e))
			continue;
		assert_int_equal(br_eeprom_open(e.data, e.len, &was, NULL), 0);
		for (size_t k = 0; k < was.n_sections; k++) {
			const struct br_eeprom_section *s = &was.sections[k];

			/* padding behind the code of stock images leaves the alignment out, which the published rule does not */
			if (!s->room || s->size > BR_EEPROM_MEMBER_MAX)
				continue;
			/* smaller, nothing, and back */
			assert_int_equal(br_eeprom_replace(&e, s->name, was.data + s->content, s->size / 2, NULL), 0);
			assert_int_equal(br_eeprom_replace(&e, s->name, "", 0, NULL), 0);
			assert_int_equal(br_eeprom_replace(&e, s->name, was.data + s->content, s->size, NULL), 0);
			assert_memory_equal(e.data, was.data, was.len);
		}
		br_eeprom_done(&e);
		br_eeprom_done(&was);
	}
}

/* What an independent model of the rule in our notes (systems notes d.1) gave for the stock images; the published tool is not here. */
static const struct {
	size_t image;
	const char *name;
	size_t len;
	unsigned factor, add; /* content: byte i is i * factor + add, or i % 95 + 32 with factor 0 */
	const char *sum;
} vectors[] = {
	{ 0, "bootconf.txt", 0, 0, 0, "352d85fab4ff41d72aac83404cfa53f1c864cb1412427e06e42a2dc7d1a9259b" },
	{ 0, "bootconf.txt", 4076, 0, 0, "a8673b36d68d71cb0e444b2612d659881cc75a5f51e8e271615d6f8db0a46c7a" },
	{ 1, "bootconf.txt", 0, 0, 0, "6a351b6c09f20a6a2a686ec6bd89136dfd521e656a16ec653e8bfe461e70b210" },
	{ 1, "bootconf.txt", 4076, 0, 0, "f0c2f19dc87022afe1b12304766de0d9cc461212352a750e7edc08d1b2974f7f" },
	{ 1, "pubkey.bin", 264, 1, 0, "21a80349a3bccc8eeca0d74ccb879754fb5fbf2d56a8476d9b0deef8dcc17b3a" },
	{ 1, "cacert.der", 1500, 7, 0, "fe96be5581dd94f6a2023e700abcd0c2b62a283e65da49ce5c9d124ae6374e7c" },
	{ 2, "bootconf.txt", 0, 0, 0, "35dc43972782b26fb83fb2fb1c7210ee48a0aecb46af752d0ec9f8a1f6dd4f08" },
	{ 2, "pubkey.bin", 264, 1, 0, "71c8d21d5b09642e02ee40e05ffc264e5a06ae98b094b59d81e62f512c183a26" },
	{ 2, "cacert.der", 1500, 7, 0, "922b182280b2461aa875f2a7ca09f9936498b41b7a2a962e857e48aa96d491a6" },
	{ 2, "bootcode", 26516, 11, 0, "a5a0272fcb48af510e90625bc315417fdf27a27dfb24143948c15a6aadf1555b" },
	{ 2, "bootcode", 90000, 11, 0, "9b82ec26af523224aefb2599a8900fb6f6e47d92426b1ba3a7edf4194367c305" },
	{ 3, "bootconf.txt", 0, 0, 0, "2c7d10b2ec580c4c5a9b1e810191d70ed4d930a44fc57494d3d57471b78c7e2a" },
	{ 3, "bootconf.txt", 4076, 0, 0, "c5123f2e1a4e0e0dcc8cd961c8ab2f3ec4bf483165fde35f6e91891c3de53ea8" },
	{ 3, "pubkey.bin", 264, 1, 0, "bcbd289df4e9c728091449799ca806606998b29901acef0a826bba19d68c2a5f" },
	{ 3, "cacert.der", 1500, 7, 0, "0492f7e498acbf0bdefc27b6eabb2339f35fecd8d1ab1909f615366e516f0d37" },
	{ 3, "bootsys", 78888, 13, 0, "effe086f580541921c1fa124cc5a64eb01d6035e8dd6804a94adf43c5fc72c7a" },
	{ 3, "bootcode", 26516, 11, 0, "88831ff903a3fa4be42b8609a800bca6c7691284faa0380f77eb006c41ec6558" },
};

static void as_an_independent_model_of_the_rule(void **state)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(vectors); i++) {
		struct br_eeprom e = { 0 };
		char sum[BR_SHA256_HEX];
		uint8_t *content;

		if (!stock_image(vectors[i].image, &e))
			return;
		content = malloc(vectors[i].len + 1);
		assert_non_null(content);
		for (size_t k = 0; k < vectors[i].len; k++)
			content[k] = vectors[i].factor ? (uint8_t)(k * vectors[i].factor + vectors[i].add) : (uint8_t)(k % 95 + 32);
		assert_int_equal(br_eeprom_replace(&e, vectors[i].name, content, vectors[i].len, NULL), 0);
		br_sha256_hex(e.data, e.len, sum);
		assert_string_equal(sum, vectors[i].sum);
		free(content);
		br_eeprom_done(&e);
	}
}

/* bootsys of an A/B image with a counter-signature leaves a gap of exactly eight: a pad section without content. */
static void a_gap_of_eight(void **state)
{
	struct br_eeprom e = { 0 };
	const struct br_eeprom_section *s;
	uint8_t *code = image_code(IMAGE_2712_AB, 78356 + 532, 1);
	size_t n;

	made_image(IMAGE_2712_AB, &e);
	n = e.n_sections;
	assert_int_equal(br_eeprom_replace(&e, "bootsys", code, 78356 + 532, NULL), 0);
	assert_int_equal(e.n_sections, n);
	s = br_eeprom_find(&e, "bootsys");
	assert_int_equal(s[1].kind, BR_EEPROM_PAD);
	assert_int_equal(s[1].offset, 0x23440);
	assert_int_equal(s[1].size, 0);
	assert_string_equal(s[2].name, "bootmain");
	/* one byte more than the slot */
	assert_int_equal(s->room, 0x23448 - 0x10000 - 24);
	assert_int_equal(br_eeprom_replace(&e, "bootsys", code, 0x23448 - 0x10000 - 24 + 1, NULL), -ENOSPC);
	br_eeprom_done(&e);
	free(code);
}

static void limits(void **state)
{
	static const uint8_t zeros[(110 << 10) + 1];

	for (size_t i = 0; i < IMAGES; i++) {
		struct br_eeprom e = { 0 };
		struct br_error err = BR_ERROR_NULL;

		if (!any_image(i, &e))
			continue;
		assert_int_equal(br_eeprom_replace(&e, "bootconf.txt", zeros, 4076, NULL), 0);
		assert_int_equal(br_eeprom_replace(&e, "bootconf.txt", zeros, 4077, &err), -EFBIG);
		assert_non_null(strstr(err.text, "4076"));
		assert_int_equal(br_eeprom_replace(&e, "bootmain", zeros, 1, &err), -ENOENT);
		assert_int_equal(br_eeprom_replace(&e, "", zeros, 1, &err), -ENOENT);
		assert_int_equal(br_eeprom_replace(&e, "boot\x1b.txt", zeros, 1, &err), -ENOENT);
		assert_null(strchr(err.text, '\x1b'));
		if (e.soc == BR_SOC_BCM2711)
			assert_int_equal(br_eeprom_replace(&e, "bootcode", zeros, 1, &err), -EPERM);
		else
			assert_int_equal(br_eeprom_replace(&e, "bootcode", zeros, sizeof(zeros), &err), -EFBIG);
		br_eeprom_done(&e);
	}
}

/* A first stage of an image with one copy has 128 KiB kept for it, or is not replaced. */
static void first_stage_needs_room(void **state)
{
	struct br_eeprom e = { 0 };
	struct image_writer w = { .len = BR_EEPROM_SIZE_2712 };
	struct br_error err = BR_ERROR_NULL;

	w.data = malloc(w.len);
	assert_non_null(w.data);
	memset(w.data, 0xff, w.len);
	image_add_code(&w, IMAGE_2712, NULL, 5000, 1);
	image_pad_to(&w, 0x1fff8);
	image_section(&w, 0x55aaf11f, "bootconf.txt", "x", 1);
	assert_int_equal(br_eeprom_open(w.data, w.len, &e, NULL), 0);
	assert_int_equal(br_eeprom_replace(&e, "bootcode", "x", 1, &err), -EPERM);
	br_eeprom_done(&e);
	free(w.data);
}

/* Many random changes: the chain stays whole and nobody else's bytes move. */
static void random_changes(void **state)
{
	static const char *const names[] = { "bootconf.txt", "bootconf.sig", "pubkey.bin", "cacert.der", "bootsys", "bootcode", "updatetime" };
	static uint8_t content[80000];
	uint32_t seed = 1;

	for (size_t i = 0; i < IMAGES; i++) {
		struct br_eeprom e = { 0 }, was = { 0 };

		if (!any_image(i, &e))
			continue;
		assert_int_equal(br_eeprom_open(e.data, e.len, &was, NULL), 0);
		for (int round = 0; round < 60; round++) {
			const char *name = names[(seed >> 8) % BR_ARRAY_SIZE(names)];
			const struct br_eeprom_section *s = br_eeprom_find(&e, name);
			size_t n = s && s->room ? (seed >> 4) % (s->room + 3) : 1, after;
			const uint8_t *got;
			int r;

			seed = seed * 1664525 + 1013904223;
			memset(content, (int)(seed >> 24), n < sizeof(content) ? n : 0);
			if (n > sizeof(content) || (i >= IMAGE_FORMS && s && s->size > BR_EEPROM_MEMBER_MAX))
				continue;
			r = br_eeprom_replace(&e, name, content, n, NULL);
			if (r < 0)
				continue;
			got = br_eeprom_get(&e, name, &after);
			assert_int_equal(after, n);
			assert_memory_equal(got, content, n);
		}
		for (size_t k = 0; k < was.n_sections; k++) {
			const struct br_eeprom_section *s = &was.sections[k];
			size_t len;
			const uint8_t *p;

			if (s->kind != BR_EEPROM_LZ4 && s->kind != BR_EEPROM_PACKED)
				continue;
			p = br_eeprom_get(&e, s->name, &len);
			assert_non_null(p);
			assert_int_equal(p - e.data, s->content);
			assert_memory_equal(p, was.data + s->content, s->size);
		}
		for (size_t k = 0; k < BR_ARRAY_SIZE(names); k++) /* and back */
			if (br_eeprom_find(&was, names[k]) && (i < IMAGE_FORMS || br_eeprom_find(&was, names[k])->size <= BR_EEPROM_MEMBER_MAX)) {
				size_t len;
				const uint8_t *p = br_eeprom_get(&was, names[k], &len);

				br_eeprom_replace(&e, names[k], p, len, NULL);
			}
		assert_memory_equal(e.data, was.data, was.len);
		br_eeprom_done(&e);
		br_eeprom_done(&was);
	}
}

static void facts(void **state)
{
	static const struct {
		uint32_t time;
		const char *version;
		bool ab;
	} expected[] = { { 1599135103, "c305221a", false }, { 1779045198, "224877da", false }, { 1727096576, "26826259", false },
		{ 1786493216, "f5e89631", true } };

	for (size_t i = 0; i < BR_ARRAY_SIZE(stock); i++) {
		struct br_eeprom_signature s[BR_EEPROM_SIGNATURES];
		struct br_eeprom_build build;
		struct br_eeprom e = { 0 };

		if (!stock_image(i, &e))
			return;
		br_eeprom_build(&e, &build);
		assert_int_equal(build.time, expected[i].time);
		assert_string_equal(build.version, expected[i].version);
		assert_false(build.has_update_time);
		assert_int_equal(e.ab, expected[i].ab);
		assert_int_equal(br_eeprom_signatures(&e, s), e.ab ? 2 : 1);
		assert_int_equal(s[0].version, e.soc == BR_SOC_BCM2712);
		assert_false(br_eeprom_countersigned(&e));
		assert_false(br_eeprom_has(&e, "pubkey.bin"));
		br_eeprom_done(&e);
	}
}

static void update_time(void **state)
{
	for (int form = 0; form < IMAGE_FORMS; form++) {
		struct br_eeprom_build build;
		struct br_eeprom e = { 0 };
		size_t at = form == IMAGE_2712_AB ? 0x67a0 + 24 : 0;

		made_image((enum image_form)form, &e);
		if (!at)
			at = e.len - 8;
		br_eeprom_build(&e, &build);
		assert_int_equal(build.time, IMAGE_BUILD_TIME);
		assert_false(build.has_update_time);
		br_eeprom_set_update_time(&e, 1700000000);
		br_eeprom_build(&e, &build);
		assert_true(build.has_update_time);
		assert_int_equal(build.update_time, 1700000000);
		assert_int_equal(br_load_le32(e.data + at), ~1700000000u);
		assert_int_equal(br_load_le32(e.data + at + 4), 1700000000);
		br_eeprom_done(&e);
	}
}

static void countersign_as(struct br_eeprom *e, const char *name, int key)
{
	uint8_t *out = NULL;
	size_t len, n;
	const uint8_t *p = br_eeprom_get(e, name, &len);

	assert_int_equal(br_countersign(p, len, image_key(key), 3, &out, &n, NULL), 0);
	assert_int_equal(br_eeprom_replace(e, name, out, n, NULL), 0);
	free(out);
}

static bool finds(const struct br_eeprom *e, enum br_severity severity, const char *words)
{
	struct br_findings f = { 0 };
	bool found = false;

	br_eeprom_check(e, true, &f);
	for (size_t i = 0; i < f.n; i++)
		found |= f.list[i].severity == severity && strstr(f.list[i].text, words);
	br_findings_done(&f);
	return found;
}

static void countersigned(void **state)
{
	struct br_eeprom e = { 0 };
	struct br_eeprom_signature s[BR_EEPROM_SIGNATURES];
	struct br_findings f = { 0 };

	made_image(IMAGE_2712_AB, &e);
	countersign_as(&e, "bootcode", 1);
	assert_true(br_eeprom_countersigned(&e));
	assert_int_equal(br_eeprom_signatures(&e, s), 3);
	assert_int_equal(s[0].keynum, 16);
	assert_int_equal(s[0].version, 3);
	assert_int_equal(s[1].keynum, 1);
	/* the slot is full, to the byte before the alignment */
	assert_string_equal(e.sections[1].name, "updatetime");
	br_eeprom_check(&e, true, &f); /* bootsys is not counter-signed */
	assert_int_equal(br_findings_count(&f, BR_FINDING_ERROR), 1);
	br_findings_done(&f);
	countersign_as(&e, "bootsys", 2);
	assert_true(finds(&e, BR_FINDING_ERROR, "two different keys"));
	countersign_as(&e, "bootsys", 1);
	br_eeprom_check(&e, true, &f);
	assert_int_equal(br_findings_count(&f, BR_FINDING_ERROR), 0);
	br_findings_done(&f);
	br_eeprom_done(&e);
}

/* One bit of what a signature covers, in made images and stock ones. */
static void flipped_bits(void **state)
{
	for (size_t i = 0; i < IMAGES; i++) {
		struct br_eeprom e = { 0 };

		if (!any_image(i, &e) || e.soc != BR_SOC_BCM2712) {
			br_eeprom_done(&e);
			continue;
		}
		assert_false(finds(&e, BR_FINDING_ERROR, ""));
		e.data[5000] ^= 1;
		assert_true(finds(&e, BR_FINDING_ERROR, "bootcode is damaged or was changed"));
		e.data[5000] ^= 1;
		assert_true(finds(&e, BR_FINDING_WARNING, "key number 1, which is not known here") == (i < IMAGE_FORMS));
		if (i == IMAGE_2712) { /* whole and valid, under a key number of Raspberry Pi's that is known */
			image_sign(e.data + e.sections[0].content, e.sections[0].size, 0, 0);
			assert_true(finds(&e, BR_FINDING_ERROR, "bootcode is signed with another key than Raspberry Pi's"));
		}
		if (e.ab) {
			e.data[BR_EEPROM_A + 5000] ^= 1;
			assert_true(finds(&e, BR_FINDING_ERROR, "bootsys is damaged or was changed"));
			e.data[BR_EEPROM_A + 5000] ^= 1;
		}
		if (i == IMAGE_2712_AB) {
			size_t len;

			countersign_as(&e, "bootcode", 1);
			countersign_as(&e, "bootsys", 1);
			br_eeprom_get(&e, "bootcode", &len);
			e.data[8 + len - 300] ^= 1; /* in the customer's signature */
			assert_true(finds(&e, BR_FINDING_ERROR, "bootcode: the customer's signature"));
		}
		br_eeprom_done(&e);
	}
}

/* A part turned into padding, as a careless editor does it. */
static void missing_parts(void **state)
{
	static const struct {
		size_t image;
		const char *name, *words;
	} cases[] = {
		{ IMAGE_2711, "bootmain", "no bootmain" }, { IMAGE_2712, "bootmain", "no bootmain" }, { IMAGE_2712_AB, "bootmain", "no bootmain in partition A" },
		{ IMAGE_2711, "memsys00.bin", "no memsys" }, { IMAGE_2712_AB, "memsys00.bin", "no memsys" },
		{ IMAGE_2712_AB, "bootsys", "no bootsys" }, { IMAGE_FORMS + 1, "bootmain", "no bootmain" },
		{ IMAGE_FORMS + 2, "bootmain", "no bootmain" }, { IMAGE_FORMS + 3, "bootmain", "no bootmain" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_eeprom e = { 0 }, without = { 0 };

		if (!any_image(cases[i].image, &e))
			continue;
		assert_false(finds(&e, BR_FINDING_ERROR, ""));
		br_store_be32(e.data + br_eeprom_find(&e, cases[i].name)->offset, 0x55aafeef);
		assert_int_equal(br_eeprom_open(e.data, e.len, &without, NULL), 0);
		if (!finds(&without, BR_FINDING_ERROR, cases[i].words))
			fail_msg("case %zu: not '%s'", i, cases[i].words);
		br_eeprom_done(&e);
		br_eeprom_done(&without);
	}
}

/* An image read from a board that updated itself once. */
static void from_a_live_board(void **state)
{
	struct br_eeprom e = { 0 }, live = { 0 };

	made_image(IMAGE_2712_AB, &e);
	assert_int_equal(e.end, BR_EEPROM_JOURNALS);
	br_store_be32(e.data + BR_EEPROM_JOURNALS, 0x4a524e4c);
	assert_int_equal(br_eeprom_open(e.data, e.len, &live, NULL), 0);
	assert_int_equal(live.end, BR_EEPROM_JOURNALS);
	assert_true(br_eeprom_used(&live, BR_EEPROM_JOURNALS, (uint32_t)live.len));
	assert_false(br_eeprom_used(&live, BR_EEPROM_B, BR_EEPROM_JOURNALS));
	assert_false(finds(&live, BR_FINDING_WARNING, "partition B"));
	br_eeprom_done(&live);
	br_store_be32(e.data + BR_EEPROM_B, 0x55aaf0ff); /* the padding becomes something */
	assert_int_equal(br_eeprom_open(e.data, e.len, &live, NULL), 0);
	assert_true(finds(&live, BR_FINDING_WARNING, "partition B is used"));
	br_eeprom_done(&live);
	br_eeprom_done(&e);
}

/* SIGNED_BOOT and HTTP_CACERT_HASH count wherever a board with the chip reads them. */
static void what_sections_say(void **state)
{
	static const struct {
		const char *config;
		bool is_signed;
	} cases[] = {
		{ "SIGNED_BOOT=1\n", true }, { "SIGNED_BOOT=0x1\n", true }, { "[pi5]\nSIGNED_BOOT=1\n", true }, { "[cm5]\nSIGNED_BOOT=1\n", true },
		{ "[0x1234abcd]\nSIGNED_BOOT=1\n", true }, { "[pi4]\nSIGNED_BOOT=1\n", false }, { "[none]\nSIGNED_BOOT=1\n", false },
		{ "[pi5]\nSIGNED_BOOT=1\n[all]\nSIGNED_BOOT=0\n", false }, { "SIGNED_BOOT=1\n[pi5]\nSIGNED_BOOT=0\n", true },
		{ "SIGNED_BOOT=10\n", false }, { "[config.txt]\nSIGNED_BOOT=1\n", false }, { "", false },
	};
	struct br_eeprom e = { 0 };
	static const char cacert[] = "[pi5]\nHTTP_CACERT_HASH=00\n";

	made_image(IMAGE_2712, &e);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		assert_int_equal(br_eeprom_replace(&e, "bootconf.txt", cases[i].config, strlen(cases[i].config), NULL), 0);
		if (br_eeprom_signed_boot(&e) != cases[i].is_signed || finds(&e, BR_FINDING_ERROR, "SIGNED_BOOT=1, but") != cases[i].is_signed)
			fail_msg("case %zu", i);
	}
	assert_int_equal(br_eeprom_replace(&e, "bootconf.txt", cacert, strlen(cacert), NULL), 0);
	assert_true(finds(&e, BR_FINDING_ERROR, "has no cacert.der"));
	br_eeprom_done(&e);
}

static void refused(const uint8_t *data, size_t len, const char *words)
{
	struct br_error err = BR_ERROR_NULL;
	struct br_eeprom e = { 0 };

	assert_int_equal(br_eeprom_open(data, len, &e, &err), -EBADMSG);
	assert_null(e.data);
	if (!strstr(err.text, words))
		fail_msg("'%s' has no '%s'", err.text, words);
}

static void damaged(void **state)
{
	static const struct {
		size_t at;
		uint32_t word;
		const char *words;
	} cases[] = {
		{ 0, 0, "no first stage" }, { 0, 0xffffffff, "no first stage" }, { 0, 0x12345678, "no section at 0x0" },
		{ 0, 0x55aafeef, "no first stage" }, { 4, 0xffffffff, "the image ends" }, { 4, 0xfffffff8, "the image ends" },
		{ 4, 0xfffffff0, "the image ends" }, { 4, 0x7fffffff, "the image ends" }, { 4, BR_EEPROM_SIZE_2712 - 7, "the image ends" },
		{ 4, 8, "no section at 0x10" }, { 0x11fc0 + 4, 15, "too few for its name" }, { 0x11fc0 + 4, 0, "too few for its name" },
		{ 0x11fc0, 0x55aaf010, "no section at 0x11fc0" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		size_t len;
		uint8_t *data = image_make(IMAGE_2711, config, &len);

		br_store_be32(data + cases[i].at, cases[i].word);
		refused(data, len, cases[i].words);
		free(data);
	}
}

static void wrong_sizes(void **state)
{
	size_t len;
	uint8_t *data = image_make(IMAGE_2711, config, &len);

	refused(data, 0, "has 0 bytes");
	refused(data, len - 1, "has 524287 bytes");
	refused(data, 16, "has 16 bytes");
	free(data);
}

/* Pads without content up to the end; and a name without an end. */
static void endless(void **state)
{
	struct br_eeprom e = { 0 };
	size_t len;
	uint8_t *data = image_make(IMAGE_2712, config, &len);

	memcpy(data + 0x30000 + 8, "abcdefghijklmnop", 16);
	assert_int_equal(br_eeprom_open(data, len, &e, NULL), 0);
	assert_non_null(br_eeprom_find(&e, "abcdefghijkl"));
	assert_int_equal(br_eeprom_replace(&e, "abcdefghijkl", "x", 1, NULL), 0);
	br_eeprom_done(&e);
	for (size_t at = 0x40000; at < len; at += 8) {
		br_store_be32(data + at, 0x55aafeef);
		br_store_be32(data + at + 4, 0);
	}
	br_store_be32(data + 0x32000 + 4, 0x40000 - 0x32000 - 8);
	refused(data, len, "more than 4096 sections");
	free(data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_in_same_out),
		cmocka_unit_test(as_an_independent_model_of_the_rule),
		cmocka_unit_test(a_gap_of_eight),
		cmocka_unit_test(limits),
		cmocka_unit_test(first_stage_needs_room),
		cmocka_unit_test(random_changes),
		cmocka_unit_test(facts),
		cmocka_unit_test(update_time),
		cmocka_unit_test(countersigned),
		cmocka_unit_test(flipped_bits),
		cmocka_unit_test(missing_parts),
		cmocka_unit_test(from_a_live_board),
		cmocka_unit_test(what_sections_say),
		cmocka_unit_test(damaged),
		cmocka_unit_test(wrong_sizes),
		cmocka_unit_test(endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
