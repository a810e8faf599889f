/* SPDX-License-Identifier: Apache-2.0 */
/* Each symptom of the table, made on the wire: the verdict must be that row, and no healthy boot may get one. */
#include "tests/unit/test.h"

#include "tests/unit/whylab.h"

static void repeat_discover(struct lab *l, int n, double s)
{
	for (int i = 0; i < n; i++) {
		discover(l);
		wait_s(l, s);
	}
}

static void offered_again(struct lab *l, int n, double s, uint32_t server, unsigned how)
{
	for (int i = 0; i < n; i++) {
		discover(l);
		reply(l, BR_DHCP_OFFER, server, BOARD_IP, how);
		wait_s(l, s);
	}
}

static void r1(struct lab *l) { }
static void r2(struct lab *l) { l->link_down = true; }
static void r3(struct lab *l) { repeat_discover(l, 2, 5); wait_s(l, 30); }
static void r3_offered(struct lab *l) { offered_again(l, 5, 5, US, PI_ITEM | TFTP_NAME); wait_s(l, 30); }
static void r4(struct lab *l) { offered_again(l, 4, 5, US, PI_ITEM | TFTP_NAME); }
static void r5(struct lab *l) { offered_again(l, 3, 5, OTHER, UNPADDED); }
static void r6(struct lab *l) { offered_again(l, 3, 5, OTHER, PI_ITEM | TFTP_NAME | RELAYED); }
static void r7(struct lab *l) { offered_again(l, 3, 4, OTHER, 0); }
static void r7_unseen(struct lab *l) { l->no_dhcp = true; repeat_discover(l, 4, 4); }
static void r8(struct lab *l) { offered_again(l, 3, 4, OTHER, X86_ITEM); }
static void r9(struct lab *l) { offered_again(l, 4, 4, US, PI_ITEM | TFTP_NAME); }

static void r10(struct lab *l)
{
	repeat_discover(l, 11, 4);
	wait_s(l, 40);
	repeat_discover(l, 2, 4);
}

static void r10_unanswered(struct lab *l) { repeat_discover(l, 4, 4); }

static void r11(struct lab *l)
{
	for (int i = 0; i < 3; i++) {
		discover(l);
		offer(l);
		eeprom_request(l);
		wait_s(l, 4);
	}
}

static void r12(struct lab *l)
{
	for (int i = 0; i < 2; i++) {
		discover(l);
		offer(l);
		eeprom_request(l);
		reply(l, BR_DHCP_NAK, OTHER, 0, 0);
		wait_s(l, 4);
	}
}

static void r13(struct lab *l)
{
	for (int i = 0; i < 4; i++) {
		discover(l);
		offer(l);
		reply(l, BR_DHCP_OFFER, OTHER, BOARD_IP + 7, TFTP_NAME);
		wait_s(l, 4);
	}
}

static void r13_note(struct lab *l)
{
	discover(l);
	reply(l, BR_DHCP_OFFER, OTHER, BOARD_IP + 7, TFTP_NAME);
	offer(l);
	eeprom_request(l);
	ack(l);
}

static void r15(struct lab *l) { l->unknown = true; discover(l); }

static void r16(struct lab *l)
{
	uint8_t guid[17];

	lab_guid(l, "4", 0x11112222, guid);
	lab_ask(l, BR_DHCP_DISCOVER, list_eeprom, sizeof(list_eeprom), PI_CLASS, guid, false);
	wait_s(l, 4);
	discover(l);
}

static void r17(struct lab *l)
{
	struct br_mac mac = l->mac;

	l->mac.b[5] = 9;
	discover(l);
	l->mac = mac;
	discover(l);
}

static void r18(struct lab *l)
{
	for (int i = 0; i < 4; i++) {
		board_asks_arp(l, NOBODY);
		wait_s(l, 2);
	}
}

static void ipv6(struct lab *l, const uint8_t *packet, size_t n)
{
	uint8_t f[128] = { 0 };

	memset(f, 0x33, 6);
	memcpy(f + 6, l->mac.b, 6);
	br_store_be16(f + 12, 0x86dd);
	memcpy(f + 14, packet, n);
	lab_frame(l, f, 14 + n, false);
}

static void r19(struct lab *l)
{
	uint8_t p[56] = { 0x60, 0, 0, 0, 0, 16, 58, 255 };

	p[40] = 133;
	for (int i = 0; i < 3; i++, wait_s(l, 4))
		ipv6(l, p, sizeof(p));
}

static void r20(struct lab *l)
{
	uint8_t p[72] = { 0x60, 0, 0, 0, 0, 32, 58, 255 };

	p[40] = 135;
	for (int i = 0; i < 4; i++, wait_s(l, 1))
		ipv6(l, p, sizeof(p));
}

static void r21(struct lab *l)
{
	for (int i = 0; i < 3; i++) {
		l->xid++;
		lab_ask(l, BR_DHCP_DISCOVER, list_kernel, 4, "U-Boot.armv8", NULL, false);
		reply(l, BR_DHCP_OFFER, OTHER, BOARD_IP, PI_ITEM);
		wait_s(l, 2);
	}
}

static void console(struct lab *l, const char *text)
{
	lab_udp(l, l->mac, all_macs, 0, UINT32_MAX, 6665, 6666, text, strlen(text));
}

static void r22(struct lab *l) { console(l, "Boot mode: NETWORK (02) order f\n"); console(l, "NETBOOT init failed\n"); console(l, "x\n"); }
static void r85(struct lab *l) { console(l, "GENET: RX errors: 17\n"); }

static void r23(struct lab *l)
{
	discover(l);
	reply(l, BR_DHCP_OFFER, OTHER, BOARD_IP, TFTP_NAME);
	eeprom_request(l);
	reply(l, BR_DHCP_ACK, OTHER, BOARD_IP, 0);
	for (int i = 0; i < 4; i++, wait_s(l, 1))
		board_asks_arp(l, NOBODY);
}

static void r24(struct lab *l)
{
	static const struct br_mac filler = { { 0xaa, 0xaa, 0xaa, 0xaa, 0xaa, 0xaa } };

	discover(l);
	offer(l);
	for (int i = 0; i < 3; i++, wait_s(l, 1))
		lab_udp(l, l->mac, filler, BOARD_IP, NOBODY, 49152, 69, "\0\1bootcode.bin\0octet", 21);
}

static void r25(struct lab *l) { addressed(l); wait_s(l, 15); }

static void r26(struct lab *l)
{
	addressed(l);
	rrq(l, S "start4.elf");
	oack(l, 1468);
	for (int i = 0; i < 3; i++) {
		wait_s(l, 2);
		rrq_again(l, S "start4.elf");
		oack(l, 1468);
	}
}

static void r26_deaf(struct lab *l)
{
	addressed(l);
	rrq(l, S "start4.elf");
	for (int i = 0; i < 3; i++) {
		wait_s(l, 2);
		rrq_again(l, S "start4.elf");
	}
}

static void r28(struct lab *l) { addressed(l); missing_file(l, "bootcode.bin"); wait_s(l, 1); }

static void r29(struct lab *l)
{
	for (int i = 0; i < 4; i++) {
		bootcode_discover(l);
		offer(l);
		sent_file(l, "bootcode.bin");
		missing_file(l, "bootsig.bin");
		wait_s(l, 10);
	}
}

static void r31(struct lab *l)
{
	addressed(l);
	sent_file(l, "bootcode.bin");
	for (int i = 0; i < 5; i++, wait_s(l, 5)) {
		bootcode_discover(l);
		offer(l);
	}
}

static void r32(struct lab *l)
{
	addressed(l);
	missing_file(l, S "start4.elf");
	missing_file(l, S "start.elf");
	sent_file(l, "config.txt");
	missing_file(l, "start4.elf");
	wait_s(l, 2);
}

static void r33(struct lab *l)
{
	addressed(l);
	missing_file(l, S "start4.elf");
	missing_file(l, S "start.elf");
	sent_file(l, "start4.elf");
	wait_s(l, 20);
}

static void r34(struct lab *l)
{
	addressed(l);
	sent_file(l, S "start4.elf");
	missing_file(l, S "kernel8.img");
	missing_file(l, S "kernel.img");
	wait_s(l, 12);
}

static void r36(struct lab *l)
{
	addressed(l);
	for (int i = 0; i < 4; i++, wait_s(l, 5))
		probed_file(l, S "start4.elf");
}

static void r37(struct lab *l) { addressed(l); probed_file(l, S "boot.img"); wait_s(l, 8); }
static void r38(struct lab *l) { addressed(l); sent_file(l, S "boot.img"); missing_file(l, S "boot.sig"); wait_s(l, 8); }
static void r39(struct lab *l) { addressed(l); sent_file(l, S "config.txt"); wait_s(l, 12); }
static void r39_names(struct lab *l) { addressed(l); sent_file(l, "config.txt"); missing_file(l, "kernel_2712.img"); missing_file(l, "kernel8.img"); wait_s(l, 12); }
static void r40(struct lab *l) { addressed(l); probed_file(l, S "start4.elf"); sent_file(l, S "recovery.elf"); wait_s(l, 10); }

static void update(struct lab *l)
{
	addressed(l);
	sent_file(l, S "config.txt");
	sent_file(l, S "pieeprom.sig");
	sent_file(l, S "pieeprom.upd");
	wait_s(l, 10);
}

static void r41_note(struct lab *l) { update(l); discover(l); }
static void r41(struct lab *l) { update(l); update(l); update(l); }
static void r42(struct lab *l) { addressed(l); sent_file(l, S "config.txt"); failed_file(l, S "kernel8.img", 65535LL * 1468, 20000); }
static void r43(struct lab *l) { addressed(l); sent_file(l, S "config.txt"); failed_file(l, S "start4.elf", 1468, 9000); }
static void r44(struct lab *l) { addressed(l); sent_file(l, S "config.txt"); failed_file(l, S "initramfs8", 9000000, 31000); }

static void r45(struct lab *l)
{
	addressed(l);
	sent_file(l, "bootcode.bin");
	rrq(l, S "start.elf");
	oack(l, 0);
	for (int i = 0; i < 4; i++, wait_s(l, 1))
		we_ask_arp(l);
}

static void r46(struct lab *l)
{
	addressed(l);
	sent_file(l, S "start.elf");
	failed_file(l, S "kernel8.img", 512, 5000);
	missing_file(l, S "kernel.img");
}

static void r47(struct lab *l)
{
	static const char *const names[] = { S "start4.elf", S "config.txt", S "fixup4.dat" };

	addressed(l);
	for (size_t i = 0; i < 3; i++) {
		rrq(l, names[i]);
		data1(l);
		event(l, BR_EV_FILE_SENT, json_pack("{s:s, s:i, s:i}", "path", names[i], "bytes", 100000, "ms", 100));
	}
}

static void r49(struct lab *l) { addressed(l); sent_file(l, S "start4.elf"); missing_file(l, S "fixup4.dat"); wait_s(l, 8); }
static void r50(struct lab *l) { addressed(l); sent_file(l, S "start4.elf"); missing_file(l, S "bcm2711-rpi-4-b.dtb"); sent_file(l, S "kernel8.img"); wait_s(l, 40); }
static void r51(struct lab *l) { addressed(l); sent_file(l, S "start4.elf"); missing_file(l, S "cmdline.txt"); sent_file(l, S "kernel8.img"); wait_s(l, 40); }
static void r52(struct lab *l) { addressed(l); missing_file(l, S "initramfs8"); sent_file(l, S "kernel8.img"); wait_s(l, 40); }
static void r53(struct lab *l) { until_kernel(l); wait_s(l, 40); }

static void r54(struct lab *l)
{
	for (int i = 0; i < 3; i++, wait_s(l, 15))
		until_kernel(l);
	discover(l);
}

static void r55(struct lab *l)
{
	until_kernel(l);
	for (int i = 0; i < 4; i++, wait_s(l, 4)) {
		kernel_asks_dhcp(l, BR_DHCP_DISCOVER);
		reply(l, BR_DHCP_OFFER, OTHER, BOARD_IP, SMALL);
	}
}

static void r55_plain(struct lab *l)
{
	until_kernel(l);
	for (int i = 0; i < 4; i++, wait_s(l, 4)) {
		kernel_asks_dhcp(l, BR_DHCP_DISCOVER);
		offer(l);
	}
}

static void r55_unheard(struct lab *l)
{
	until_kernel(l);
	for (int i = 0; i < 4; i++, wait_s(l, 4))
		kernel_asks_dhcp(l, BR_DHCP_DISCOVER);
}

static void r56(struct lab *l) { kernel_addressed(l); wait_s(l, 40); }

static void r56_arp(struct lab *l)
{
	kernel_addressed(l);
	for (int i = 0; i < 4; i++, wait_s(l, 1))
		board_asks_arp(l, NOBODY);
}

static void r57(struct lab *l)
{
	kernel_addressed(l);
	initramfs_asks(l, BR_DHCP_DISCOVER);
	offer(l);
	initramfs_asks(l, BR_DHCP_REQUEST);
	ack(l);
	wait_s(l, 25);
}

static void r58(struct lab *l)
{
	kernel_addressed(l);
	lab_tcp(l, true, 111, BR_TCP_SYN, NULL, 0);
	lab_tcp(l, false, 111, BR_TCP_RST | BR_TCP_ACK, NULL, 0);
}

static void r58_dropped(struct lab *l)
{
	kernel_addressed(l);
	for (int i = 0; i < 4; i++, wait_s(l, 2))
		lab_tcp(l, true, 2049, BR_TCP_SYN, NULL, 0);
}

static void r59(struct lab *l)
{
	uint8_t map[16] = { 0 };

	br_store_be32(map, 100005);
	br_store_be32(map + 4, 1);
	br_store_be32(map + 8, 17);
	kernel_addressed(l);
	connected(l, 111);
	rpc_call(l, 111, 100000, 2, 3, map, sizeof(map));
	rpc_result(l, 111, 0, 0);
}

static void mount_answered(struct lab *l, uint32_t status)
{
	kernel_addressed(l);
	connected(l, 20048);
	mount_call(l, 3);
	rpc_result(l, 20048, 0, status);
}

static void r60(struct lab *l) { mount_answered(l, 13); }

static void r60_event(struct lab *l)
{
	kernel_addressed(l);
	event(l, BR_EV_MOUNT_REFUSED, json_pack("{s:s, s:s}", "path", "/other", "reason", "pi07 may mount its own root /pi07 only"));
}

static void usb_failed(struct lab *l)
{
	event(l, BR_EV_USB_FOUND, json_pack("{s:s, s:s, s:s}", "path", "1-2", "chip", "BCM2711", "stage", "rom"));
	event(l, BR_EV_FILE_MISSING, json_pack("{s:s, s:s}", "path", "start4.elf", "via", "usb"));
	event(l, BR_EV_USB_FAILED, json_pack("{s:s, s:s}", "path", "1-2", "reason", "nothing came back after the first stage"));
}

static void r87(struct lab *l) { usb_failed(l); }

static void r87_again(struct lab *l)
{
	usb_failed(l);
	event(l, BR_EV_USB_DONE, json_pack("{s:s}", "path", "1-2"));
	usb_failed(l);
	wait_s(l, 600);
}

static void r61(struct lab *l) { mount_answered(l, 2); }

static void r64(struct lab *l)
{
	kernel_addressed(l);
	connected(l, 20048);
	mount_call(l, 1);
}

static void r64_event(struct lab *l)
{
	kernel_addressed(l);
	event(l, BR_EV_MOUNT_REFUSED, json_pack("{s:s}", "reason", "NFS version 2 is not served: add 'vers=3' to nfsroot"));
}

static void r65(struct lab *l)
{
	kernel_addressed(l);
	event(l, BR_EV_MOUNT_REFUSED, json_pack("{s:s}", "reason", "NFS version 4 is not served: add 'vers=3' to nfsroot"));
}

static void r66(struct lab *l)
{
	kernel_addressed(l);
	connected(l, 20048);
	mount_call(l, 3);
	rpc_result(l, 20048, 2, 3);
}

static void mounted(struct lab *l)
{
	mount_answered(l, 0);
	event(l, BR_EV_MOUNTED, json_pack("{s:s}", "path", "/pi07"));
	wait_s(l, 20);
}

static void up(struct lab *l)
{
	mounted(l);
	os_asks(l, BR_DHCP_REQUEST);
	ack(l);
	event(l, BR_EV_BOARD_UP, json_pack("{s:s}", "by", "dhcp"));
}

static void r68(struct lab *l)
{
	up(l);
	for (int i = 0; i < 4; i++, wait_s(l, 1))
		we_ask_arp(l);
}

static void r69(struct lab *l)
{
	mounted(l);
	os_asks(l, BR_DHCP_REQUEST);
	reply(l, BR_DHCP_ACK, US, BOARD_IP + 9, 0);
}

static void trouble(struct lab *l, const char *what)
{
	mounted(l);
	event(l, BR_EV_NFS_TROUBLE, json_pack("{s:s}", "what", what));
	wait_s(l, 6);
}

static void r62(struct lab *l) { trouble(l, "denied"); }
static void r63(struct lab *l) { trouble(l, "no-init"); }
static void r67(struct lab *l) { trouble(l, "small-reads"); }
static void r71(struct lab *l) { trouble(l, "read-only"); }
static void r74(struct lab *l) { trouble(l, "stale"); }

static void r70(struct lab *l)
{
	mounted(l);
	board_asks_arp(l, US);
	lab_arp(l, other_mac, all_macs, 1, BOARD_IP, BOARD_IP);
}

static void r70_silent(struct lab *l)
{
	mounted(l);
	for (int i = 0; i < 4; i++, wait_s(l, 1))
		we_ask_arp(l);
}

static void r73(struct lab *l) { mounted(l); wait_s(l, 150); }

static void r75(struct lab *l)
{
	uint8_t f[60] = { 0 };

	until_kernel(l);
	memcpy(f, all_macs.b, 6);
	memcpy(f + 6, l->mac.b, 6);
	memcpy(f + 12, "\x80\x35\0\1\x08\0\6\4\0\3", 10);
	for (int i = 0; i < 3; i++, wait_s(l, 2))
		lab_frame(l, f, sizeof(f), false);
}

static void http(struct lab *l, bool from_board, const char *text) { lab_tcp(l, from_board, 80, BR_TCP_ACK, text, strlen(text)); }

static void r77(struct lab *l) { addressed(l); http(l, true, "GET /net/boot.sig HTTP/1.1\r\n"); http(l, false, "HTTP/1.1 404 Not Found\r\n"); }
static void r78(struct lab *l) { addressed(l); http(l, true, "GET /net/boot.sig HTTP/1.1\r\n"); http(l, false, "HTTP/1.1 200 OK\r\n"); wait_s(l, 15); }

static void r79(struct lab *l)
{
	r78(l);
	http(l, true, "GET /net/boot.img HTTP/1.1\r\n");
	http(l, false, "HTTP/1.1 200 OK\r\n");
	wait_s(l, 20);
	discover(l);
}

static void r80(struct lab *l) { addressed(l); lab_tcp(l, true, 443, BR_TCP_ACK, "\x16\3\1", 3); lab_tcp(l, false, 443, BR_TCP_ACK, "\x15\3\1", 3); }

static void r81(struct lab *l)
{
	addressed(l);
	http(l, true, "HEAD /efi/boot/bootaa64.efi HTTP/1.1\r\n");
	lab_tcp(l, false, 80, BR_TCP_ACK | BR_TCP_FIN, "HTTP/1.1 200 OK\r\n", 17);
	wait_s(l, 10);
}

static void r82(struct lab *l)
{
	addressed(l);
	for (int i = 0; i < 4; i++, wait_s(l, 1))
		lab_udp(l, l->mac, our_mac, BOARD_IP, US, 2000, 53, "query", 5);
}

static void r83(struct lab *l)
{
	repeat_discover(l, 3, 4);
	wait_s(l, 30);
	os_asks(l, BR_DHCP_DISCOVER);
	os_asks(l, BR_DHCP_REQUEST);
}

static void r84(struct lab *l) { r3_offered(l); l->n_booting = 30; }

static void r86(struct lab *l)
{
	up(l);
	wait_s(l, 20);
	discover(l);
	for (int i = 0; i < 3; i++)
		lab_udp(l, l->mac, all_macs, 0, UINT32_MAX, 68, 67, "garbage", 7);
}

/* An order of this board that came so far; then it is asked so many seconds later. */
static void flashed(struct lab *l, struct br_why_flash f, const char *what, const char *word, const char *reason, double later_s)
{
	addressed(l);
	f.order = 7;
	strcpy(f.target, "mmc0");
	strcpy(f.up, "dhcp");
	snprintf(f.what, sizeof(f.what), "%s", what);
	snprintf(f.word, sizeof(f.word), "%s", word);
	snprintf(f.reason, sizeof(f.reason), "%s", reason);
	l->flash = f;
	wait_s(l, later_s);
}
#define FAILED_NOW { .state = BR_WHY_FLASH_FAILED, .ended_ns = l->now }

static void r90(struct lab *l)
{
	flashed(l, (struct br_why_flash){ .state = BR_WHY_FLASH_WAITING, .contact_ns = l->now }, "", "", "", 100);
}
static void r90_failed(struct lab *l)
{
	flashed(l, (struct br_why_flash)FAILED_NOW, "bootloader", "", "its U-Boot never came", 5);
}
static void r91(struct lab *l)
{
	flashed(l, (struct br_why_flash)FAILED_NOW, "write", "verify", "what was read back is not what was written (mmc0, piece 3)", 5);
}
static void r92(struct lab *l)
{
	flashed(l, (struct br_why_flash)FAILED_NOW, "write", "small", "the card is smaller than the image", 5);
}
static void r93(struct lab *l)
{
	flashed(l, (struct br_why_flash)FAILED_NOW, "image", "", "image x has another content since it was ordered", 5);
}
static void r94(struct lab *l)
{
	flashed(l, (struct br_why_flash){ .state = BR_WHY_FLASH_WRITING, .begun = 5, .asked_ns = l->now }, "", "", "", 10);
}
static void r95(struct lab *l)
{
	flashed(l, (struct br_why_flash){ .state = BR_WHY_FLASH_VERIFIED, .verified_ns = l->now }, "", "", "", 200);
}
static void r95_failed(struct lab *l)
{
	flashed(l, (struct br_why_flash){ .state = BR_WHY_FLASH_FAILED, .verified_ns = l->now, .ended_ns = l->now + 9 * BR_S }, "silent", "", "it was silent", 20);
}
static void r96(struct lab *l)
{
	flashed(l, (struct br_why_flash){ .state = BR_WHY_FLASH_WRITING, .begun = 1, .asked_ns = l->now }, "", "", "", 100);
}
static void r97(struct lab *l)
{
	flashed(l, (struct br_why_flash)FAILED_NOW, "write", "fetch", "a piece of the image could not be fetched", 5);
}
static void r98(struct lab *l)
{
	flashed(l, (struct br_why_flash)FAILED_NOW, "write", "device", "U-Boot has no such device", 5);
}

static const struct {
	unsigned row;
	enum br_why_level level;
	const char *model;
	void (*play)(struct lab *l);
} rows[] = {
	{ 90, BR_WHY_WRONG, "4", r90 }, { 90, BR_WHY_WRONG, "4", r90_failed }, { 91, BR_WHY_WRONG, "4", r91 }, { 92, BR_WHY_WRONG, "4", r92 },
	{ 93, BR_WHY_WRONG, "4", r93 }, { 94, BR_WHY_WRONG, "4", r94 }, { 95, BR_WHY_WRONG, "4", r95 }, { 95, BR_WHY_WRONG, "4", r95_failed },
	{ 96, BR_WHY_WRONG, "4", r96 }, { 97, BR_WHY_WRONG, "4", r97 }, { 98, BR_WHY_WRONG, "4", r98 },
	{ 1, BR_WHY_WRONG, "4", r1 }, { 2, BR_WHY_WRONG, "4", r2 }, { 3, BR_WHY_WRONG, "3b+", r3 },
	{ 3, BR_WHY_WRONG, "3b+", r3_offered }, { 4, BR_WHY_WRONG, "3b", r4 }, { 5, BR_WHY_WRONG, "3b", r5 },
	{ 6, BR_WHY_WRONG, "3b", r6 }, { 7, BR_WHY_WRONG, "4", r7 }, { 7, BR_WHY_WRONG, "3b+", r7 },
	{ 7, BR_WHY_WRONG, "4", r7_unseen }, { 8, BR_WHY_WRONG, "4", r8 }, { 9, BR_WHY_WRONG, "4", r9 }, { 10, BR_WHY_WRONG, "4", r10 },
	{ 10, BR_WHY_WRONG, "5", r10_unanswered }, { 11, BR_WHY_WRONG, "4", r11 }, { 12, BR_WHY_WRONG, "4", r12 },
	{ 13, BR_WHY_WRONG, "4", r13 }, { 13, BR_WHY_NOTE, "4", r13_note }, { 15, BR_WHY_WRONG, "4", r15 },
	{ 16, BR_WHY_NOTE, "4", r16 }, { 17, BR_WHY_WRONG, "4", r17 }, { 18, BR_WHY_WRONG, "4", r18 },
	{ 19, BR_WHY_WRONG, "4", r19 }, { 20, BR_WHY_WRONG, "4", r20 }, { 21, BR_WHY_WRONG, "4", r21 },
	{ 22, BR_WHY_WRONG, "4", r22 }, { 23, BR_WHY_WRONG, "4", r23 }, { 24, BR_WHY_WRONG, "3b+", r24 },
	{ 25, BR_WHY_WRONG, "3b", r25 }, { 26, BR_WHY_WRONG, "4", r26 }, { 26, BR_WHY_WRONG, "4", r26_deaf },
	{ 28, BR_WHY_WRONG, "3b+", r28 }, { 29, BR_WHY_WRONG, "3b+", r29 }, { 31, BR_WHY_WRONG, "3b", r31 },
	{ 32, BR_WHY_WRONG, "4", r32 }, { 33, BR_WHY_WRONG, "4", r33 }, { 34, BR_WHY_WRONG, "4", r34 },
	{ 36, BR_WHY_WRONG, "4", r36 }, { 37, BR_WHY_WRONG, "5", r37 }, { 38, BR_WHY_WRONG, "4", r38 },
	{ 39, BR_WHY_WRONG, "5", r39 }, { 39, BR_WHY_WRONG, "5", r39_names }, { 40, BR_WHY_WRONG, "4", r40 },
	{ 41, BR_WHY_NOTE, "4", r41_note }, { 41, BR_WHY_WRONG, "4", r41 }, { 42, BR_WHY_WRONG, "4", r42 },
	{ 43, BR_WHY_WRONG, "4", r43 }, { 44, BR_WHY_WRONG, "5", r44 }, { 45, BR_WHY_WRONG, "3b", r45 },
	{ 46, BR_WHY_WRONG, "3b+", r46 }, { 47, BR_WHY_NOTE, "4", r47 }, { 49, BR_WHY_WRONG, "4", r49 },
	{ 50, BR_WHY_WRONG, "4", r50 }, { 51, BR_WHY_WRONG, "4", r51 }, { 52, BR_WHY_WRONG, "4", r52 },
	{ 53, BR_WHY_WRONG, "4", r53 }, { 54, BR_WHY_WRONG, "4", r54 }, { 55, BR_WHY_WRONG, "4", r55 },
	{ 55, BR_WHY_WRONG, "4", r55_plain }, { 55, BR_WHY_WRONG, "4", r55_unheard }, { 56, BR_WHY_WRONG, "4", r56 },
	{ 56, BR_WHY_WRONG, "4", r56_arp }, { 57, BR_WHY_WRONG, "4", r57 }, { 58, BR_WHY_WRONG, "4", r58 },
	{ 58, BR_WHY_WRONG, "4", r58_dropped }, { 59, BR_WHY_WRONG, "4", r59 }, { 60, BR_WHY_WRONG, "4", r60 },
	{ 60, BR_WHY_WRONG, "4", r60_event }, { 61, BR_WHY_WRONG, "4", r61 }, { 64, BR_WHY_WRONG, "4", r64 },
	{ 64, BR_WHY_WRONG, "4", r64_event }, { 65, BR_WHY_WRONG, "4", r65 }, { 66, BR_WHY_WRONG, "4", r66 },
	{ 68, BR_WHY_WRONG, "4", r68 }, { 69, BR_WHY_WRONG, "4", r69 }, { 70, BR_WHY_WRONG, "4", r70 },
	{ 70, BR_WHY_WRONG, "4", r70_silent }, { 73, BR_WHY_NOTE, "4", r73 }, { 75, BR_WHY_WRONG, "4", r75 },
	{ 77, BR_WHY_WRONG, "4", r77 }, { 78, BR_WHY_WRONG, "4", r78 }, { 79, BR_WHY_WRONG, "4", r79 },
	{ 80, BR_WHY_WRONG, "4", r80 }, { 81, BR_WHY_WRONG, "4", r81 }, { 82, BR_WHY_WRONG, "4", r82 },
	{ 83, BR_WHY_WRONG, "4", r83 }, { 84, BR_WHY_WRONG, "3b+", r84 }, { 85, BR_WHY_WRONG, "4", r85 },
	{ 86, BR_WHY_WRONG, "4", r86 }, { 62, BR_WHY_WRONG, "4", r62 }, { 63, BR_WHY_WRONG, "4", r63 },
	{ 87, BR_WHY_WRONG, "4", r87 }, { 87, BR_WHY_WRONG, "4", r87_again },
	{ 67, BR_WHY_NOTE, "4", r67 }, { 71, BR_WHY_WRONG, "4", r71 }, { 74, BR_WHY_WRONG, "4", r74 },
};

static void each_symptom_gets_its_row(void **state)
{
	unsigned wrong = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(rows); i++) {
		struct lab l;

		if (getenv("WHY_SEEDS")) {
			br_cleanup(br_freep) char *path = br_asprintf("%s/row%u", getenv("WHY_SEEDS"), rows[i].row);

			setenv("WHY_SEED", path, 1);
		}
		lab_init(&l, rows[i].model);
		rows[i].play(&l);
		ask_why(&l);
		if (l.v.row != rows[i].row || l.v.level != rows[i].level) {
			wrong++;
			print_error("case %zu, row %u: got row %u (%s): %s\n", i, rows[i].row, l.v.row,
				br_why_level_name(l.v.level), l.v.text);
			for (unsigned k = 0; k < l.v.n_evidence; k++)
				print_error("    %s\n", l.v.evidence[k]);
		}
		/* words for people: filled in, with what was seen and what to do */
		if (strchr(l.v.text, '{') || strchr(l.v.text, '?') || !l.v.text[0] || strchr(l.v.cure, '{') ||
			(l.v.level == BR_WHY_WRONG && !l.v.cure[0]) || (l.v.row > 2 && !l.v.n_evidence)) {
			wrong++;
			print_error("case %zu, row %u: '%s' '%s', %u lines of evidence\n", i, rows[i].row, l.v.text, l.v.cure,
				l.v.n_evidence);
		}
		lab_done(&l);
	}
	unsetenv("WHY_SEED");
	assert_int_equal(wrong, 0);
}

/* Nothing is wrong with these, at no moment. */
static void h_first_question(struct lab *l) { discover(l); }
static void h_answered(struct lab *l) { addressed(l); wait_s(l, 1); }
static void h_kernel_starts(struct lab *l) { until_kernel(l); wait_s(l, 12); }
static void h_kernel_addressed(struct lab *l) { kernel_addressed(l); wait_s(l, 3); }

static void h_both_ask(struct lab *l)
{
	kernel_addressed(l);
	wait_s(l, 1);
	initramfs_asks(l, BR_DHCP_DISCOVER);
	offer(l);
	initramfs_asks(l, BR_DHCP_REQUEST);
	ack(l);
	wait_s(l, 5);
}

static void h_proxy(struct lab *l)
{
	discover(l);
	reply(l, BR_DHCP_OFFER, OTHER, BOARD_IP, 0);
	reply(l, BR_DHCP_OFFER, US, 0, PI_ITEM | PROXY);
	eeprom_request(l);
	reply(l, BR_DHCP_ACK, OTHER, BOARD_IP, 0);
	board_asks_arp(l, US);
	we_answer_arp(l);
	probed_file(l, S "start4.elf");
}

static void h_3b_nudged(struct lab *l)
{
	discover(l);
	offer(l);
	wait_s(l, 1.3);
	board_asks_arp(l, US);
	we_answer_arp(l);
	sent_file(l, "bootcode.bin");
	missing_file(l, "bootsig.bin");
	bootcode_discover(l);
	offer(l);
	probed_file(l, S "start.elf");
	missing_file(l, S "autoboot.txt");
	sent_file(l, S "config.txt");
	sent_file(l, S "start.elf");
}

static void h_reboot(struct lab *l) { up(l); wait_s(l, 600); until_kernel(l); }
static void h_second_boot(struct lab *l) { up(l); wait_s(l, 60); up(l); wait_s(l, 1); }
static void h_no_prefix(struct lab *l) { addressed(l); missing_file(l, S "start4.elf"); missing_file(l, S "start.elf"); sent_file(l, "config.txt"); probed_file(l, "start4.elf"); }
static void h_transfer(struct lab *l) { addressed(l); rrq(l, S "kernel8.img"); oack(l, 1024); wait_s(l, 60); }
static void h_usb_then_net(struct lab *l) { usb_failed(l); wait_s(l, 5); discover(l); }
static void h_local(struct lab *l) { l->local = true; discover(l); wait_s(l, 300); os_asks(l, BR_DHCP_REQUEST); ack(l); }

static void healthy_boots_get_no_verdict(void **state)
{
	static const struct {
		const char *model;
		void (*play)(struct lab *l);
	} cases[] = {
		{ "4", h_first_question }, { "3b", h_first_question }, { "4", h_answered }, { "5", h_answered },
		{ "3b", h_answered }, { "4", h_kernel_starts }, { "4", h_kernel_addressed }, { "4", h_both_ask },
		{ "4", h_proxy }, { "3b", h_3b_nudged }, { "4", mounted }, { "4", up }, { "4", h_reboot },
		{ "4", h_second_boot }, { "4", h_no_prefix }, { "4", h_transfer }, { "4", h_usb_then_net }, { "4", h_local },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(cases); i++) {
		struct lab l;

		lab_init(&l, cases[i].model);
		cases[i].play(&l);
		ask_why(&l);
		if (l.v.row || l.v.level >= BR_WHY_NOTE || l.v.cure[0])
			fail_msg("case %zu: row %u (%s): %s", i, l.v.row, br_why_level_name(l.v.level), l.v.text);
		lab_done(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_symptom_gets_its_row),
		cmocka_unit_test(healthy_boots_get_no_verdict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
