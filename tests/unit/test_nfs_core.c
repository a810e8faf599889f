/* SPDX-License-Identifier: Apache-2.0 */
/* RPC, port mapper, MOUNT, file handles and the reading half of NFSv3, without sockets. */
#include "tests/unit/test.h"

#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/siphash.h"
#include "nfs/handle.h"
#include "nfs/status.h"
#include "tests/unit/nfs_client.h"
#include "wire/mount.h"
#include "wire/portmap.h"

static struct nfs_rig rig;
static struct nfs_fh root;

/* 20000 characters */
static const char *big_text(void)
{
	static char text[20001];

	memset(text, 'x', sizeof(text) - 1);
	return text;
}

static int setup(void **state)
{
	struct br_fs *fs = memfs_new();

	memfs_put(fs, "/etc/hostname", 0644, "pi07\n");
	memfs_put(fs, "/etc/shadow", 0600, "secret");
	memfs_put(fs, "/bin/su", 0711, "program");
	memfs_put_link(fs, "/sbin", "usr/sbin");
	memfs_put(fs, "/lib", 0644, big_text());
	memfs_mkdir(fs, "/empty");
	for (unsigned i = 0; i < 100; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/many/%0*u", 1 + (int)i % 20, i);
		memfs_put(fs, path, 0644, "");
	}
	rig_init_fs(&rig, fs);
	root = rig_mount(&rig, "/");
	return 0;
}

static int teardown(void **state)
{
	rig_done(&rig);
	return 0;
}

static void siphash_vectors(void **state)
{
	/* appendix A of the paper, and the first and last of its reference code's table */
	static const struct {
		size_t n;
		uint64_t sum;
	} cases[] = {
		{ 0, 0x726fdb47dd0e0e31 },
		{ 1, 0x74f839c593dc67fd },
		{ 8, 0x93f5f5799a932462 },
		{ 15, 0xa129ca6149be45e5 },
		{ 63, 0x958a324ceb064572 },
	};
	uint8_t key[16], data[64];

	for (unsigned i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)i;
	memcpy(key, data, sizeof(key));
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		assert_true(br_siphash(key, data, cases[i].n) == cases[i].sum);
}

/* What is denied or not accepted, and how. */
static void rpc_refusals(void **state)
{
	static const struct {
		uint32_t program, version, procedure;
		enum br_rpc_accept accept;
		uint32_t low, high;
	} cases[] = {
		{ BR_RPC_NFS, 3, 0, BR_RPC_SUCCESS }, { BR_RPC_NFS, 3, 22, BR_RPC_PROC_UNAVAIL },
		{ BR_RPC_NFS, 2, 0, BR_RPC_PROG_MISMATCH, 3, 3 },
		{ BR_RPC_NFS, 4, 0, BR_RPC_PROG_MISMATCH, 3, 3 },
		{ BR_RPC_NFS, 3, BR_NFS3_GETATTR, BR_RPC_GARBAGE_ARGS },
		{ BR_RPC_MOUNT, 3, 0, BR_RPC_SUCCESS }, { BR_RPC_MOUNT, 1, 0, BR_RPC_SUCCESS },
		{ BR_RPC_MOUNT, 4, 0, BR_RPC_PROG_MISMATCH, 1, 3 },
		{ BR_RPC_MOUNT, 3, 6, BR_RPC_PROC_UNAVAIL },
		{ BR_RPC_MOUNT, 3, 1, BR_RPC_GARBAGE_ARGS },
		{ BR_RPC_PORTMAP, 2, 0, BR_RPC_SUCCESS },
		{ BR_RPC_PORTMAP, 5, 0, BR_RPC_PROG_MISMATCH, 2, 4 },
		{ BR_RPC_PORTMAP, 2, 6, BR_RPC_PROC_UNAVAIL },
		{ BR_RPC_PORTMAP, 4, 12, BR_RPC_PROC_UNAVAIL },
		{ BR_RPC_NFSACL, 3, 0, BR_RPC_PROG_UNAVAIL },
		{ 100021, 4, 0, BR_RPC_PROG_UNAVAIL }, /* NLM */
		{ 100024, 1, 0, BR_RPC_PROG_UNAVAIL }, /* NSM */
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_reader r;

		rig_begin(&rig, cases[i].program, cases[i].version, cases[i].procedure);
		r = rig_send(&rig, cases[i].accept);
		if (cases[i].accept == BR_RPC_PROG_MISMATCH) {
			assert_int_equal(br_get_be32(&r), cases[i].low);
			assert_int_equal(br_get_be32(&r), cases[i].high);
		}
		assert_ended(&r);
	}
}

static void programs_keep_to_their_ports(void **state)
{
	rig.services = BR_NFS_PORTMAP;
	rig_begin(&rig, BR_RPC_NFS, 3, 0);
	rig_send(&rig, BR_RPC_PROG_UNAVAIL);
	rig_begin(&rig, BR_RPC_MOUNT, 3, 0);
	rig_send(&rig, BR_RPC_PROG_UNAVAIL);
	rig_begin(&rig, BR_RPC_PORTMAP, 2, 0);
	rig_send(&rig, BR_RPC_SUCCESS);
	rig.services = BR_NFS_NFS | BR_NFS_MOUNT | BR_NFS_PORTMAP;
}

/* A denied reply: what and why behind 'denied'. */
static void expect_denied(const void *call, size_t len, uint32_t what, uint32_t why)
{
	struct br_reader r;

	assert_int_equal(rig_submit(&rig, call, len), BR_NFS_REPLY);
	r = br_reader_of(rig.reply, rig.reply_len);
	assert_int_equal(br_get_be32(&r), br_load_be32(call));
	assert_int_equal(br_get_be32(&r), 1);
	assert_int_equal(br_get_be32(&r), 1);
	assert_int_equal(br_get_be32(&r), what);
	assert_int_equal(br_get_be32(&r), why);
	if (what == 0) /* RPC_MISMATCH: low and high */
		assert_int_equal(br_get_be32(&r), 2);
	assert_ended(&r);
}

static void authentication_errors(void **state)
{
	uint8_t *p;

	/* an unknown flavour (GSS) */
	rig_begin(&rig, BR_RPC_NFS, 3, 0);
	br_store_be32(rig.call_buf + 24, 6);
	expect_denied(rig.call_buf, rig.call.len, 1, BR_RPC_AUTH_BADCRED);
	/* 17 groups */
	rig_begin(&rig, BR_RPC_NFS, 3, 0);
	p = rig.call_buf + 32 + 4 + 4 + 8 + 8; /* the number of groups */
	br_store_be32(p, 17);
	expect_denied(rig.call_buf, rig.call.len, 1, BR_RPC_AUTH_BADCRED);
	/* groups that are not there */
	br_store_be32(p, 1);
	expect_denied(rig.call_buf, rig.call.len, 1, BR_RPC_AUTH_BADCRED);
	/* a verifier */
	rig_begin(&rig, BR_RPC_NFS, 3, 0);
	br_store_be32(rig.call_buf + rig.call.len - 8, 1);
	expect_denied(rig.call_buf, rig.call.len, 1, BR_RPC_AUTH_BADVERF);
	/* RPC version 3 */
	rig_begin(&rig, BR_RPC_NFS, 3, 0);
	br_store_be32(rig.call_buf + 8, 3);
	expect_denied(rig.call_buf, rig.call.len, 0, 2);
}

static void what_is_no_call_gets_no_answer(void **state)
{
	rig_begin(&rig, BR_RPC_NFS, 3, 0);
	for (size_t n = 0; n < rig.call.len; n++)
		assert_int_equal(rig_submit(&rig, rig.call_buf, n), -EBADMSG);
	br_store_be32(rig.call_buf + 4, 1); /* a reply */
	assert_int_equal(rig_submit(&rig, rig.call_buf, rig.call.len), -EBADMSG);
	rig_begin(&rig, BR_RPC_NFS, 3, 0);
	br_store_be32(rig.call_buf + 28, 404); /* a credential that is too long */
	assert_int_equal(rig_submit(&rig, rig.call_buf, rig.call.len), -EBADMSG);
}

static void high_ports_are_refused(void **state)
{
	unsigned told = rig.export.n_refused;
	struct br_reader r;

	rig.now_ns += 10000000000; /* long after the last refusal */
	rig.port = 1024;
	put_fh(rig_nfs(&rig, BR_NFS3_GETATTR), &root);
	expect_denied(rig.call_buf, rig.call.len, 1, BR_RPC_AUTH_TOOWEAK);
	rig_nfs(&rig, BR_NFS3_NULL); /* harmless */
	rig_send(&rig, BR_RPC_SUCCESS);
	br_xdr_put_string(rig_begin(&rig, BR_RPC_MOUNT, 3, BR_MOUNT_MNT), "/");
	r = rig_send(&rig, BR_RPC_SUCCESS);
	assert_int_equal(br_get_be32(&r), BR_MNT3ERR_ACCES);
	assert_ended(&r);
	rig.core.opt.allow_high_ports = true;
	rig_mount(&rig, "/");
	rig_getattr(&rig, &root);
	rig.core.opt.allow_high_ports = false;
	rig.port = 931;
	assert_int_equal(rig.export.n_refused, told + 1); /* of two: only one in ten seconds */
}

static void portmap_says_the_ports(void **state)
{
	static const struct br_portmap_mapping cases[] = {
		{ BR_RPC_NFS, 3, BR_PORTMAP_TCP, 2049 },
		{ BR_RPC_NFS, 4, BR_PORTMAP_TCP, 2049 }, /* gets PROG_MISMATCH there */
		{ BR_RPC_NFS, 3, BR_PORTMAP_UDP, 0 },
		{ BR_RPC_MOUNT, 3, BR_PORTMAP_TCP, 20048 },
		{ BR_RPC_MOUNT, 3, BR_PORTMAP_UDP, 20048 },
		{ BR_RPC_PORTMAP, 2, BR_PORTMAP_UDP, 111 },
		{ 100021, 4, BR_PORTMAP_TCP, 0 },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		char uaddr[BR_RPCBIND_UADDR] = "", got[64] = "";
		struct br_writer *w = rig_begin(&rig, BR_RPC_PORTMAP, 2, BR_PORTMAP_GETPORT);
		const uint8_t *p;
		struct br_reader r;
		uint32_t n;

		br_portmap_put_mapping(w, &cases[i]);
		r = rig_send(&rig, BR_RPC_SUCCESS);
		assert_int_equal(br_get_be32(&r), cases[i].port);
		assert_ended(&r);
		/* rpcbind says the same in words */
		w = rig_begin(&rig, BR_RPC_PORTMAP, 4, BR_PORTMAP_GETPORT);
		br_put_be32(w, cases[i].program);
		br_put_be32(w, cases[i].version);
		br_xdr_put_string(w, br_rpcbind_netid(cases[i].protocol));
		br_xdr_put_string(w, "");
		br_xdr_put_string(w, "");
		r = rig_send(&rig, BR_RPC_SUCCESS);
		p = br_xdr_get_opaque(&r, 60, &n);
		assert_ended(&r);
		memcpy(got, p, n);
		if (cases[i].port)
			br_rpcbind_uaddr(uaddr, 0x0a4d0001, (uint16_t)cases[i].port);
		assert_string_equal(got, uaddr);
	}
	assert_string_equal(
		br_rpcbind_uaddr((char[BR_RPCBIND_UADDR]){ 0 }, 0x0a4d0001, 2049), "10.77.0.1.8.1");
}

static void portmap_registers_and_forwards_nothing(void **state)
{
	struct br_portmap_mapping m = { BR_RPC_NFS, 3, BR_PORTMAP_TCP, 666 };
	struct br_reader r;
	unsigned n = 0;

	for (uint32_t proc = BR_PORTMAP_SET; proc <= BR_PORTMAP_UNSET; proc++) {
		br_portmap_put_mapping(rig_begin(&rig, BR_RPC_PORTMAP, 2, proc), &m);
		r = rig_send(&rig, BR_RPC_SUCCESS);
		assert_int_equal(br_get_be32(&r), false);
	}
	rig_begin(&rig, BR_RPC_PORTMAP, 2, BR_PORTMAP_CALLIT);
	assert_int_equal(rig_submit(&rig, rig.call_buf, rig.call.len), BR_NFS_SILENT);
	rig_begin(&rig, BR_RPC_PORTMAP, 2, BR_PORTMAP_DUMP);
	r = rig_send(&rig, BR_RPC_SUCCESS);
	for (; br_xdr_get_bool(&r); n++)
		assert_int_equal(br_portmap_get_mapping(&r, &m), 0);
	assert_ended(&r);
	assert_int_equal(n, 11);
	rig_begin(&rig, BR_RPC_PORTMAP, 3, BR_PORTMAP_DUMP);
	rig_send(&rig, BR_RPC_SUCCESS);
}

static void mount_refusals(void **state)
{
	static const uint8_t padding[2000];
	struct br_writer *w;
	static const char too_long[BR_MOUNT_PATH_MAX + 2] = { [0 ... BR_MOUNT_PATH_MAX] = 'a' };
	struct br_reader r;
	struct nfs_fh etc = rig_mount(&rig, "/etc"),
		      found = rig_lookup(&rig, &root, "etc", BR_NFS3_OK);
	static const struct {
		const char *path;
		enum br_mount_status status;
	} cases[] = {
		{ "/nowhere", BR_MNT3ERR_NOENT },
		{ "/etc/hostname", BR_MNT3ERR_NOTDIR },
	};

	assert_memory_equal(etc.b, found.b, etc.len);
	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		br_xdr_put_string(rig_begin(&rig, BR_RPC_MOUNT, 3, BR_MOUNT_MNT), cases[i].path);
		r = rig_send(&rig, BR_RPC_SUCCESS);
		assert_int_equal(br_get_be32(&r), cases[i].status);
		assert_ended(&r);
	}
	br_xdr_put_string(rig_begin(&rig, BR_RPC_MOUNT, 3, BR_MOUNT_MNT), too_long);
	rig_send(&rig, BR_RPC_GARBAGE_ARGS);
	w = rig_begin(&rig, BR_RPC_MOUNT, 3, BR_MOUNT_MNT); /* more than a call can be, behind the path */
	br_xdr_put_string(w, "/");
	br_put_bytes(w, padding, sizeof(padding));
	rig_send(&rig, BR_RPC_GARBAGE_ARGS);
	br_xdr_put_opaque(rig_begin(&rig, BR_RPC_MOUNT, 3, BR_MOUNT_MNT), "/\0etc", 5);
	rig_send(&rig, BR_RPC_GARBAGE_ARGS);
	br_xdr_put_string(rig_begin(&rig, BR_RPC_MOUNT, 1, BR_MOUNT_MNT), "/");
	r = rig_send(&rig, BR_RPC_SUCCESS);
	assert_int_equal(br_get_be32(&r), BR_MNT3ERR_NOTSUPP);
	rig.export.only_ip = 1;
	br_xdr_put_string(rig_begin(&rig, BR_RPC_MOUNT, 3, BR_MOUNT_MNT), "/");
	r = rig_send(&rig, BR_RPC_SUCCESS);
	assert_int_equal(br_get_be32(&r), BR_MNT3ERR_ACCES);
	rig.export.only_ip = 0;
}

static void mount_lists_are_empty(void **state)
{
	static const uint32_t procs[] = { BR_MOUNT_DUMP, BR_MOUNT_EXPORT };
	struct br_reader r;

	for (size_t i = 0; i < BR_ARRAY_SIZE(procs); i++) {
		rig_begin(&rig, BR_RPC_MOUNT, 3, procs[i]);
		r = rig_send(&rig, BR_RPC_SUCCESS);
		assert_false(br_xdr_get_bool(&r));
		assert_ended(&r);
	}
	/* umount(8) of old asks in version 1 */
	for (uint32_t version = 1; version <= 3; version++) {
		br_xdr_put_string(rig_begin(&rig, BR_RPC_MOUNT, version, BR_MOUNT_UMNT), "/");
		r = rig_send(&rig, BR_RPC_SUCCESS);
		assert_ended(&r);
		rig_begin(&rig, BR_RPC_MOUNT, version, BR_MOUNT_UMNTALL);
		r = rig_send(&rig, BR_RPC_SUCCESS);
		assert_ended(&r);
	}
}

static void expect_getattr(const struct nfs_fh *fh, enum br_nfs3_status status)
{
	struct br_reader r;

	put_fh(rig_nfs(&rig, BR_NFS3_GETATTR), fh);
	r = rig_expect(&rig, status);
	if (status)
		assert_ended(&r);
}

static void forged_handles_open_nothing(void **state)
{
	struct br_nfs_handle handle;
	struct nfs_fh fh = root, empty = { .len = 0 };
	static const uint8_t other_key[16] = { 1 };

	for (uint32_t i = 0; i < root.len; i++) {
		fh = root;
		fh.b[i] ^= 1;
		expect_getattr(&fh, BR_NFS3ERR_BADHANDLE);
		fh = root;
		fh.len = i;
		expect_getattr(&fh, BR_NFS3ERR_BADHANDLE);
	}
	expect_getattr(&empty, BR_NFS3ERR_BADHANDLE);
	fh = root;
	fh.len = BR_NFS3_FHSIZE;
	expect_getattr(&fh, BR_NFS3ERR_BADHANDLE);
	fh = root;
	assert_int_equal(br_nfs_handle_get(nfs_test_key, root.b, root.len, &handle), 0);
	br_nfs_handle_put(other_key, &handle, fh.b);
	expect_getattr(&fh, BR_NFS3ERR_BADHANDLE);
}

static void foreign_and_old_handles_are_stale(void **state)
{
	struct br_nfs_handle handle;
	struct nfs_fh fh = root;

	rig.export.only_ip = 0x0a4d0008; /* another board's */
	expect_getattr(&root, BR_NFS3ERR_STALE);
	rig.export.only_ip = rig.ip;
	expect_getattr(&root, BR_NFS3_OK);
	rig.export.only_ip = 0;
	assert_int_equal(br_nfs_handle_get(nfs_test_key, root.b, root.len, &handle), 0);
	handle.generation++;
	br_nfs_handle_put(nfs_test_key, &handle, fh.b);
	expect_getattr(&fh, BR_NFS3ERR_STALE);
	handle.generation--;
	handle.ino = 999;
	br_nfs_handle_put(nfs_test_key, &handle, fh.b);
	expect_getattr(&fh, BR_NFS3ERR_STALE);
	rig.export.gone = true;
	expect_getattr(&root, BR_NFS3ERR_STALE);
	rig.export.gone = false;
	rig.export.busy = true;
	expect_getattr(&root, BR_NFS3ERR_JUKEBOX);
	rig.export.busy = false;
}

static void attributes_arrive(void **state)
{
	struct nfs_fh etc = rig_lookup(&rig, &root, "etc", BR_NFS3_OK);
	struct nfs_fh file = rig_lookup(&rig, &etc, "hostname", BR_NFS3_OK);
	struct nfs_fh link = rig_lookup(&rig, &root, "sbin", BR_NFS3_OK);
	struct br_nfs3_fattr a = rig_getattr(&rig, &file);

	assert_int_equal(a.type, BR_NF3REG);
	assert_int_equal(a.mode, 0644);
	assert_int_equal(a.size, 5);
	assert_int_equal(a.nlink, 1);
	assert_int_equal(a.fsid, br_load_be64(rig.export.id));
	assert_int_equal(rig_getattr(&rig, &etc).type, BR_NF3DIR);
	assert_int_equal(rig_getattr(&rig, &link).type, BR_NF3LNK);
}

static void lookup_of_dots(void **state)
{
	struct nfs_fh etc = rig_lookup(&rig, &root, "etc", BR_NFS3_OK);
	struct nfs_fh up = rig_lookup(&rig, &etc, "..", BR_NFS3_OK),
		      self = rig_lookup(&rig, &etc, ".", BR_NFS3_OK);
	struct nfs_fh above = rig_lookup(&rig, &root, "..", BR_NFS3_OK);

	assert_memory_equal(up.b, root.b, root.len);
	assert_memory_equal(self.b, etc.b, etc.len);
	assert_memory_equal(above.b, root.b, root.len);
}

static void lookup_refusals(void **state)
{
	char long_name[257];
	struct nfs_fh etc = rig_lookup(&rig, &root, "etc", BR_NFS3_OK);
	struct nfs_fh file = rig_lookup(&rig, &etc, "hostname", BR_NFS3_OK);

	memset(long_name, 'n', sizeof(long_name));
	long_name[256] = 0;
	rig_lookup(&rig, &root, long_name, BR_NFS3ERR_NAMETOOLONG);
	long_name[255] = 0;
	rig_lookup(&rig, &root, long_name, BR_NFS3ERR_NOENT);
	rig_lookup(&rig, &root, "", BR_NFS3ERR_ACCES);
	rig_lookup(&rig, &root, "etc/hostname", BR_NFS3ERR_ACCES);
	rig_lookup(&rig, &root, "missing", BR_NFS3ERR_NOENT);
	rig_lookup(&rig, &file, "x", BR_NFS3ERR_NOTDIR);
}

static void files_are_read(void **state)
{
	struct nfs_fh etc = rig_lookup(&rig, &root, "etc", BR_NFS3_OK);
	struct nfs_fh file = rig_lookup(&rig, &etc, "hostname", BR_NFS3_OK);
	struct br_reader r;
	struct br_writer *w;

	rig_read(&rig, &file, 0, 4096, "pi07\n", true);
	rig_read(&rig, &file, 0, 4, "pi07", false);
	rig_read(&rig, &file, 4, UINT32_MAX, "\n", true);
	rig_read(&rig, &file, 5, 10, "", true);
	rig_read(&rig, &file, UINT64_MAX, 10, "", true);
	rig_read(&rig, &file, 0, 0, "", false);
	w = rig_nfs(&rig, BR_NFS3_READ);
	put_fh(w, &etc);
	br_put_be64(w, 0);
	br_put_be32(w, 10);
	r = rig_expect(&rig, BR_NFS3ERR_ISDIR);
	get_post_attr(&r);
	assert_ended(&r);
	assert_int_equal(rig.export.active_ip, rig.ip);
}

static void links_are_read(void **state)
{
	struct nfs_fh link = rig_lookup(&rig, &root, "sbin", BR_NFS3_OK);
	const uint8_t *p;
	struct br_reader r;
	uint32_t n;

	put_fh(rig_nfs(&rig, BR_NFS3_READLINK), &link);
	r = rig_expect(&rig, BR_NFS3_OK);
	get_post_attr(&r);
	p = br_xdr_get_opaque(&r, 100, &n);
	assert_ended(&r);
	assert_int_equal(n, 8);
	assert_memory_equal(p, "usr/sbin", 8);
	put_fh(rig_nfs(&rig, BR_NFS3_READLINK), &root);
	r = rig_expect(&rig, BR_NFS3ERR_INVAL);
}

struct seen {
	unsigned n;
	uint64_t cookie;
	bool eof;
	size_t size; /* of the result, without the status */
};

/* One call of READDIR or READDIRPLUS from a cookie. */
static struct seen list_some(
	const struct nfs_fh *dir, bool plus, uint64_t cookie, uint32_t dircount, uint32_t maxcount)
{
	struct br_writer *w = rig_nfs(&rig, plus ? BR_NFS3_READDIRPLUS : BR_NFS3_READDIR);
	struct seen seen = { 0 };
	struct br_reader r;
	uint32_t n;

	put_fh(w, dir);
	br_put_be64(w, cookie);
	br_put_be64(w, 0);
	if (plus)
		br_put_be32(w, dircount);
	br_put_be32(w, maxcount);
	r = rig_expect(&rig, BR_NFS3_OK);
	seen.size = br_reader_left(&r);
	get_post_attr(&r);
	br_get_be64(&r);
	for (; br_xdr_get_bool(&r); seen.n++) {
		uint64_t ino = br_get_be64(&r);

		assert_non_null(br_xdr_get_opaque(&r, 255, &n));
		seen.cookie = br_get_be64(&r);
		if (plus) {
			struct br_nfs3_fattr attr = get_post_attr(&r);
			struct nfs_fh fh = get_post_fh(&r);

			assert_int_equal(attr.fileid, ino);
			assert_int_equal(fh.len, BR_NFS_HANDLE_SIZE);
		}
	}
	seen.eof = br_xdr_get_bool(&r);
	assert_ended(&r);
	return seen;
}

static void listings_keep_to_their_limits(void **state)
{
	static const struct {
		bool plus;
		uint32_t dircount, maxcount;
	} cases[] = {
		{ false, 0, 160 },
		{ false, 0, 512 },
		{ false, 0, 1000 },
		{ false, 0, UINT32_MAX },
		{ true, 512, 4096 },
		{ true, 1, 4096 },
		{ true, UINT32_MAX, 300 },
		{ true, 8192, 32768 },
		{ true, UINT32_MAX, UINT32_MAX },
	};
	struct nfs_fh many = rig_lookup(&rig, &root, "many", BR_NFS3_OK);

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct seen seen = { 0 };
		unsigned n = 0, calls = 0;

		do {
			seen = list_some(&many, cases[i].plus, seen.cookie, cases[i].dircount,
				cases[i].maxcount);
			assert_true(seen.size <= cases[i].maxcount);
			assert_true(seen.n > 0 || seen.eof);
			n += seen.n;
			calls++;
		} while (!seen.eof && calls < 200);
		assert_int_equal(n, 102); /* with "." and ".." */
	}
}

static void listing_refusals(void **state)
{
	struct nfs_fh etc = rig_lookup(&rig, &root, "etc", BR_NFS3_OK);
	struct nfs_fh file = rig_lookup(&rig, &etc, "hostname", BR_NFS3_OK);
	const struct {
		const struct nfs_fh *dir;
		uint64_t cookie, verf;
		uint32_t count;
		enum br_nfs3_status status;
	} cases[] = {
		{ &file, 0, 0, 4096, BR_NFS3ERR_NOTDIR },
		{ &etc, 0, 0, 0, BR_NFS3ERR_TOOSMALL },
		{ &etc, 0, 0, 110, BR_NFS3ERR_TOOSMALL },
		{ &etc, 1, 77, 4096, BR_NFS3ERR_BAD_COOKIE },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct br_writer *w = rig_nfs(&rig, BR_NFS3_READDIR);
		struct br_reader r;

		put_fh(w, cases[i].dir);
		br_put_be64(w, cases[i].cookie);
		br_put_be64(w, cases[i].verf);
		br_put_be32(w, cases[i].count);
		r = rig_expect(&rig, cases[i].status);
		get_post_attr(&r);
		assert_ended(&r);
	}
}

static uint32_t access_of(const struct nfs_fh *fh, uint32_t want)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_ACCESS);
	struct br_reader r;
	uint32_t granted;

	put_fh(w, fh);
	br_put_be32(w, want);
	r = rig_expect(&rig, BR_NFS3_OK);
	get_post_attr(&r);
	granted = br_get_be32(&r);
	assert_ended(&r);
	return granted;
}

static void access_is_what_a_mode_says(void **state)
{
	struct nfs_fh etc = rig_lookup(&rig, &root, "etc", BR_NFS3_OK);
	struct nfs_fh bin = rig_lookup(&rig, &root, "bin", BR_NFS3_OK);
	struct nfs_fh shadow = rig_lookup(&rig, &etc, "shadow", BR_NFS3_OK);
	struct nfs_fh su = rig_lookup(&rig, &bin, "su", BR_NFS3_OK);
	const struct {
		const struct nfs_fh *fh;
		uint32_t uid, want, granted;
	} cases[] = {
		{ &etc, 0, 0x3f, 0x1f }, /* root: all but EXECUTE, which directories do not have */
		{ &etc, 1000, 0x3f, 0x03 }, /* 0755: read and look up */
		{ &etc, 1000, 0x02, 0x02 },
		{ &shadow, 0, 0x3f, 0x0d }, /* nobody may execute it, root neither */
		{ &shadow, 1000, 0x3f, 0 },
		{ &su, 1000, 0x3f, 0x20 },
		{ &su, 0, 0x3f, 0x2d },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		rig.cred.uid = rig.cred.gid = cases[i].uid;
		assert_int_equal(access_of(cases[i].fh, cases[i].want), cases[i].granted);
	}
	rig.cred.uid = rig.cred.gid = 0;
	rig.export.read_only = true;
	assert_int_equal(access_of(&etc, 0x3f), 0x03);
	rig.export.read_only = false;
}

static void permissions_are_checked(void **state)
{
	struct nfs_fh etc = rig_lookup(&rig, &root, "etc", BR_NFS3_OK);
	struct nfs_fh bin = rig_lookup(&rig, &root, "bin", BR_NFS3_OK);
	struct nfs_fh shadow = rig_lookup(&rig, &etc, "shadow", BR_NFS3_OK);
	struct nfs_fh su = rig_lookup(&rig, &bin, "su", BR_NFS3_OK);
	struct br_writer *w;

	rig.cred.uid = 1000;
	w = rig_nfs(&rig, BR_NFS3_READ);
	put_fh(w, &shadow);
	br_put_be64(w, 0);
	br_put_be32(w, 10);
	rig_expect(&rig, BR_NFS3ERR_ACCES);
	rig_read(&rig, &su, 0, 100, "program", true); /* to execute is to read */
	rig.cred.flavor = BR_RPC_AUTH_NONE;
	rig_getattr(&rig, &shadow);
	w = rig_nfs(&rig, BR_NFS3_READ);
	put_fh(w, &shadow);
	br_put_be64(w, 0);
	br_put_be32(w, 10);
	rig_expect(&rig, BR_NFS3ERR_ACCES);
	rig.cred.flavor = BR_RPC_AUTH_SYS;
	rig.cred.uid = 0;
}

static void file_system_facts(void **state)
{
	struct br_reader r;

	put_fh(rig_nfs(&rig, BR_NFS3_FSINFO), &root);
	r = rig_expect(&rig, BR_NFS3_OK);
	get_post_attr(&r);
	assert_int_equal(br_get_be32(&r), 1 << 20); /* rtmax */
	assert_int_equal(br_reader_left(&r), 44);
	put_fh(rig_nfs(&rig, BR_NFS3_FSSTAT), &root);
	r = rig_expect(&rig, BR_NFS3_OK);
	get_post_attr(&r);
	assert_int_equal(br_reader_left(&r), 52);
	put_fh(rig_nfs(&rig, BR_NFS3_PATHCONF), &root);
	r = rig_expect(&rig, BR_NFS3_OK);
	get_post_attr(&r);
	assert_int_equal(br_get_be32(&r), 65000);
	assert_int_equal(br_get_be32(&r), 255);
	assert_int_equal(br_reader_left(&r), 16);
}

/* Every procedure with its arguments cut short anywhere says GARBAGE_ARGS and changes nothing. */
static void short_arguments_are_garbage(void **state)
{
	for (uint32_t proc = 1; proc < BR_NFS3_PROCS; proc++) {
		for (size_t n = 0; n < 44; n += 4) {
			struct br_writer *w = rig_nfs(&rig, proc);
			size_t head = w->len;

			put_fh(w, &root);
			w->len = head + n;
			rig_send(&rig, BR_RPC_GARBAGE_ARGS);
		}
	}
	assert_int_equal(rig.export.refs, 0);
}

static void statuses_fit_their_procedures(void **state)
{
	static const struct {
		enum br_nfs3_proc proc;
		int r;
		enum br_nfs3_status status;
	} cases[] = {
		{ BR_NFS3_LOOKUP, -ENOENT, BR_NFS3ERR_NOENT },
		{ BR_NFS3_LOOKUP, -ENOSPC, BR_NFS3ERR_IO },
		{ BR_NFS3_WRITE, -ENOSPC, BR_NFS3ERR_NOSPC },
		{ BR_NFS3_WRITE, -ENOENT, BR_NFS3ERR_IO },
		{ BR_NFS3_GETATTR, -EUCLEAN, BR_NFS3ERR_IO },
		{ BR_NFS3_GETATTR, -ENOMEM, BR_NFS3ERR_JUKEBOX },
		{ BR_NFS3_READ, BR_NFS3_ERROR(BR_NFS3ERR_BADHANDLE), BR_NFS3ERR_BADHANDLE },
		{ BR_NFS3_READ, BR_NFS3_ERROR(BR_NFS3ERR_NOT_SYNC), BR_NFS3ERR_IO },
		{ BR_NFS3_SETATTR, BR_NFS3_ERROR(BR_NFS3ERR_NOT_SYNC), BR_NFS3ERR_NOT_SYNC },
		{ BR_NFS3_RMDIR, -ENOTEMPTY, BR_NFS3ERR_NOTEMPTY },
		{ BR_NFS3_REMOVE, -ENOTEMPTY, BR_NFS3ERR_IO },
		{ BR_NFS3_COMMIT, -ENOSPC, BR_NFS3ERR_NOSPC },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++)
		assert_int_equal(br_nfs3_status(cases[i].proc, cases[i].r), cases[i].status);
	assert_int_equal(br_mount_status(-EACCES), BR_MNT3ERR_ACCES);
	assert_int_equal(br_mount_status(-EDOM), BR_MNT3ERR_SERVERFAULT);
}

/* What 'bramble why' is told of: rows 62, 63, 67, 71 and 74. */
static void read_from(const struct nfs_fh *fh, uint64_t offset, uint32_t count)
{
	struct br_writer *w = rig_nfs(&rig, BR_NFS3_READ);

	put_fh(w, fh);
	br_put_be64(w, offset);
	br_put_be32(w, count);
	rig_expect(&rig, BR_NFS3_OK);
}

static void mounted_anew(void)
{
	put_fh(rig_nfs(&rig, BR_NFS3_FSINFO), &root);
	rig_expect(&rig, BR_NFS3_OK);
	memset(rig.export.troubles, 0, sizeof(rig.export.troubles));
}

static void trouble_is_told(void **state)
{
	const unsigned *told = rig.export.troubles;
	struct nfs_fh etc = rig_lookup(&rig, &root, "etc", BR_NFS3_OK), file = rig_lookup(&rig, &etc, "hostname", BR_NFS3_OK);
	struct nfs_fh bin = rig_lookup(&rig, &root, "bin", BR_NFS3_OK), shadow = rig_lookup(&rig, &etc, "shadow", BR_NFS3_OK);

	mounted_anew();
	rig_lookup(&rig, &root, "lost+found", BR_NFS3ERR_NOENT);
	assert_int_equal(told[BR_NFS_TROUBLE_NO_INIT], 0);
	rig_lookup(&rig, &bin, "init", BR_NFS3ERR_NOENT);
	rig_lookup(&rig, &bin, "init", BR_NFS3ERR_NOENT);
	assert_int_equal(told[BR_NFS_TROUBLE_NO_INIT], 1); /* once in ten seconds */
	rig.now_ns += 11000000000u;
	rig_lookup(&rig, &bin, "init", BR_NFS3ERR_NOENT);
	assert_int_equal(told[BR_NFS_TROUBLE_NO_INIT], 2);

	rig.cred.uid = 1000;
	put_fh(rig_nfs(&rig, BR_NFS3_READ), &shadow);
	br_put_be64(&rig.call, 0);
	br_put_be32(&rig.call, 100);
	rig_expect(&rig, BR_NFS3ERR_ACCES);
	rig.cred.uid = 0;
	assert_int_equal(told[BR_NFS_TROUBLE_DENIED], 1);

	/* a system that runs looks for much that is not there */
	for (int i = 0; i < 16; i++)
		read_from(&file, 0, 5);
	mounted_anew();
	for (int i = 0; i < 16; i++)
		read_from(&file, 0, 5);
	rig_lookup(&rig, &bin, "init", BR_NFS3ERR_NOENT);
	assert_int_equal(told[BR_NFS_TROUBLE_NO_INIT], 0);

	rig.export.read_only = true;
	put_where(rig_nfs(&rig, BR_NFS3_REMOVE), &etc, "hostname");
	rig_expect(&rig, BR_NFS3ERR_ROFS);
	assert_int_equal(told[BR_NFS_TROUBLE_READ_ONLY], 1);
	/* of an area beside its root it is told apart, and nothing of what only a root must have */
	rig.export.beside = true;
	put_where(rig_nfs(&rig, BR_NFS3_REMOVE), &etc, "hostname");
	rig_expect(&rig, BR_NFS3ERR_ROFS);
	put_fh(rig_nfs(&rig, BR_NFS3_FSINFO), &root);
	rig_expect(&rig, BR_NFS3_OK);
	rig.now_ns += 11000000000u;
	rig_lookup(&rig, &bin, "init", BR_NFS3ERR_NOENT);
	rig.export.beside = rig.export.read_only = false;
	assert_int_equal(told[BR_NFS_TROUBLE_READ_ONLY], 1);
	assert_int_equal(told[BR_NFS_TROUBLE_NO_INIT], 0);
	assert_int_equal(rig.export.troubles_beside[BR_NFS_TROUBLE_READ_ONLY], 1);
	assert_int_equal(rig.export.troubles_beside[BR_NFS_TROUBLE_NO_INIT], 0);
	rig.export.gone = true;
	put_fh(rig_nfs(&rig, BR_NFS3_GETATTR), &etc);
	rig_expect(&rig, BR_NFS3ERR_STALE);
	rig.export.gone = false;
	assert_int_equal(told[BR_NFS_TROUBLE_STALE], 1);
}

static void small_reads_are_told(void **state)
{
	const unsigned *told = rig.export.troubles;
	struct nfs_fh lib = rig_lookup(&rig, &root, "lib", BR_NFS3_OK);

	for (uint32_t size = 4096; size <= 8192; size += 4096) {
		mounted_anew();
		for (unsigned i = 0; i < 100; i++)
			read_from(&lib, i % 4 * 4096, size);
		assert_int_equal(told[BR_NFS_TROUBLE_SMALL_READS], size == 4096);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(siphash_vectors),
		cmocka_unit_test(trouble_is_told),
		cmocka_unit_test(small_reads_are_told),
		cmocka_unit_test(rpc_refusals),
		cmocka_unit_test(programs_keep_to_their_ports),
		cmocka_unit_test(authentication_errors),
		cmocka_unit_test(what_is_no_call_gets_no_answer),
		cmocka_unit_test(high_ports_are_refused),
		cmocka_unit_test(portmap_says_the_ports),
		cmocka_unit_test(portmap_registers_and_forwards_nothing),
		cmocka_unit_test(mount_refusals),
		cmocka_unit_test(mount_lists_are_empty),
		cmocka_unit_test(forged_handles_open_nothing),
		cmocka_unit_test(foreign_and_old_handles_are_stale),
		cmocka_unit_test(attributes_arrive),
		cmocka_unit_test(lookup_of_dots),
		cmocka_unit_test(lookup_refusals),
		cmocka_unit_test(files_are_read),
		cmocka_unit_test(links_are_read),
		cmocka_unit_test(listings_keep_to_their_limits),
		cmocka_unit_test(listing_refusals),
		cmocka_unit_test(access_is_what_a_mode_says),
		cmocka_unit_test(permissions_are_checked),
		cmocka_unit_test(file_system_facts),
		cmocka_unit_test(short_arguments_are_garbage),
		cmocka_unit_test(statuses_fit_their_procedures),
	};

	return cmocka_run_group_tests_name("nfs_core", tests, setup, teardown);
}
