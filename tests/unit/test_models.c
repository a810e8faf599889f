/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every model's virtual board against the real server, fact by fact; writes the table of docs/models.md.
 *
 *   test_models            plays all boards, and compares the table with $SOURCE_ROOT/docs/models.md
 *   test_models write      the same, and writes it
 *   test_models log MODEL  what went over the wire
 */
#include "tests/unit/test.h"

#include "tests/unit/modellab.h"

/*
 * A fact about a stage, and what must be seen of it: lines of the log as fnmatch() has them, in this order; one with '!'
 * in front must not be there from that place on. {serial} and the like are the board's.
 */
struct fact {
	const char *stage, *what, *from;
	const char *see[7];
};

#define PI_CLASS "'PXEClient:Arch:00000:UNDI:002001'"
#define LIST_ROM "43,60,67,128,129,130,131,132,133,134,135,66"
#define LIST_EEPROM "1,3,43,60,66,67,128,129,130,131,132,133,134,135"
/* discovery control, prompt, one item with its three trailing blanks */
#define MENU "0601030a0400505845" "0917000014" "5261737062657272792050692042" "6f6f74202020" "ff"

/* ---- BCM2837: the mask ROM ---- */

static const struct fact rom_3b[] = {
	{ "ROM DHCP", "DISCOVER of 320 bytes: constant xid, TTL 128, no UDP checksum, 12 entries in option 55", "wire 1.2; packet dumps (SUSE/netboot-rpi3b)",
		{ "rom > DISCOVER len=320 xid=26f30339 flags=0 ttl=128 id=0 sum=no order=53,55,93,94,97,60 *o55=" LIST_ROM
		  " o93=0000 o94=010201 *o60=" PI_CLASS } },
	{ "ROM DHCP", "Option 97 is 16 × 0x44: the server knows it as a 3B's ROM and by its MAC only", "wire 1.3",
		{ "rom > DISCOVER *o97=0044444444444444444444444444444444 *", "rom < OFFER *kind=rom *" } },
	{ "ROM DHCP", "The menu text of option 43 needs three trailing blanks (a length slip in the ROM)", "wire 1.4; PXE 2.1",
		{ "rom < OFFER *o43=" MENU "*" } },
	{ "ROM DHCP", "Acts on an OFFER only when another frame follows its one-second timer: nudged 0.6 s and 1.2 s after it asked", "wire 1.5; firmware#862, #934",
		{ "rom > DISCOVER *", "rom < OFFER *", "rom < a frame of type 0842 after 600 ms", "rom < a frame of type 0842 after 1200 ms",
			"rom = took the offer *" } },
	{ "ROM DHCP", "Never sends a REQUEST; the address offered is the board's from then on", "wire 1.4, 1.6; firmware#1699",
		{ "rom = took the offer *", "!rom > REQUEST *" } },
	{ "ROM TFTP", "RRQ without options from port 49152 for both files, 512-byte blocks", "wire 2.1; RFC 1350",
		{ "rom > RRQ bootcode.bin port=49152", "rom < DATA 1 of 512", "rom = whole bootcode.bin *", "rom > RRQ bootsig.bin port=49152" } },
	{ "ROM TFTP", "bootsig.bin is missing, and says so at once", "wire 2.3, 5.2 (30)", { "rom > RRQ bootsig.bin *", "rom < ERROR 1 *", "rom = missing bootsig.bin *" } },
	{ 0 },
};

static const struct fact rom_3bp[] = {
	{ "ROM DHCP", "DISCOVER of 320 bytes as the 3B's, with the serial four times in option 97", "wire 1.2, 1.3; log of a 3B+",
		{ "rom > DISCOVER len=320 xid=26f30339 flags=0 ttl=128 id=0 sum=no order=53,55,93,94,97,60 *o55=" LIST_ROM
		  " *o97=00{serial-le}{serial-le}{serial-le}{serial-le} o60=" PI_CLASS, "rom < OFFER *kind=rom *" } },
	{ "ROM DHCP", "Option 43 or 66, the later one in the packet wins: both name us, 66 last", "wire 1.4",
		{ "rom < OFFER *order=*,43,*66* *o43=" MENU "*o66='10.77.0.1'*" } },
	{ "ROM DHCP", "Takes the OFFER and never sends a REQUEST", "wire 1.4; firmware#1699", { "rom = took the offer *", "!rom > REQUEST *" } },
	{ "ROM TFTP", "RRQ without options from ports 49153 and 49154", "wire 2.1; RFC 1350",
		{ "rom > RRQ bootcode.bin port=49153", "rom < DATA 1 of 512", "rom = whole bootcode.bin *", "rom > RRQ bootsig.bin port=49154",
			"rom < ERROR 1 *" } },
	{ 0 },
};

/* ---- BCM2835 to 2837: bootcode.bin, from the ROM or from a card ---- */

static const struct fact bootcode[] = {
	{ "bootcode.bin DHCP", "DISCOVER of 322 bytes: 14 entries in option 55, ending in 1,3; the serial four times in option 97", "wire 1.2, 1.3",
		{ "bootcode > DISCOVER len=322 xid=26f30339 flags=0 ttl=128 id=0 sum=no order=53,55,93,94,97,60 *o55=" LIST_ROM ",1,3"
		  " *o97=00{serial-le}{serial-le}{serial-le}{serial-le} *", "bootcode < OFFER *kind=bootcode *" } },
	{ "bootcode.bin DHCP", "Asks a second time with the same xid and never sends a REQUEST: the same address again", "wire 1.4; firmware#1699",
		{ "bootcode < OFFER *", "bootcode = took the offer *", "!bootcode > REQUEST *", "!* = the address changed" } },
	{ "TFTP directory", "Asks for SERIAL/start.elf with tsize only, takes the OACK and ends with ERROR 0: a probe", "wire 2.1, 2.2; RFC 2349",
		{ "bootcode > RRQ {serial}/start.elf port=49153 tsize=0", "bootcode < OACK tsize=9004", "bootcode > ERROR 0 *", "bootcode = directory {serial}/ *" } },
	{ "TFTP directory", "All later names have the directory: it is all or nothing", "wire 2.2; firmware#1371",
		{ "bootcode = directory *", "bootcode > RRQ {serial}/config.txt *", "!bootcode > RRQ [!5]*", "!start > RRQ [!5]*" } },
	{ "start, fixup", "start.elf and fixup.dat, 512-byte blocks after an OACK with tsize (without one the file counts as missing)", "wire 2.1; firmware#1913",
		{ "bootcode > RRQ {serial}/start.elf port=* tsize=0", "bootcode < OACK tsize=9004", "bootcode < DATA 1 of 512", "bootcode = whole {serial}/start.elf *",
			"bootcode = whole {serial}/fixup.dat *" } },
	{ "start, fixup", "recovery.elf, autoboot.txt, dt-blob.bin, bootcfg.txt are normally missing: ERROR 1 at once", "wire 2.3",
		{ "bootcode = missing {serial}/autoboot.txt *", "bootcode = missing {serial}/recovery.elf *", "start = missing {serial}/dt-blob.bin *",
			"start = missing {serial}/bootcfg.txt *" } },
	{ "config.txt", "Read four times, probed and then whole; the same bytes each time", "wire 2.3; log of a 3B+",
		{ "bootcode = whole {serial}/config.txt *", "start = probed {serial}/config.txt *", "start = whole {serial}/config.txt *",
			"start = whole {serial}/config.txt *", "start = whole {serial}/config.txt *", "!* = wrong *" } },
	{ "device tree", "The model's own device tree, then overlay_map.dtb and the overlays that config.txt names", "wire 2.3",
		{ "start = whole {serial}/{dtb} *", "start = whole {serial}/overlays/overlay_map.dtb *", "start = whole {serial}/overlays/vc4-kms-v3d.dtbo *" } },
	{ "initramfs, kernel", "Kernel probed before and fetched last; initramfs of the same name", "wire 2.3",
		{ "start = probed {serial}/{kernel} *", "start = whole {serial}/{initramfs} *", "start = whole {serial}/{kernel} *", "start = kernel {kernel} *" } },
	{ 0 },
};

static const struct fact rom_all[] = {
	{ "identity", "The serial, unknown to the server while the ROM speaks, comes with bootcode.bin: one board, one address", "wire 1.3, 1.6",
		{ "* = known as * serial={serial} *", "!* = the address changed" } },
	{ 0 },
};

static const struct fact card[] = {
	{ "bootcode.bin DHCP", "The first client of the boot: no ROM asked before; bootcode.bin itself is never asked for", "wire 1.1",
		{ "bootcode > DISCOVER *", "!rom *", "!* > RRQ *bootcode.bin *" } },
	{ "identity", "The low 24 bits of MAC and serial are equal on these; the serial comes in option 97", "wire 1.3", { "* = known as * serial={serial} *" } },
	{ 0 },
};

/* ---- BCM2711, BCM2712: the EEPROM ---- */

static const struct fact eeprom_dhcp[] = {
	{ "EEPROM DHCP", "DISCOVER of 322 bytes: random xid, TTL 64, UDP checksum; 14 entries in option 55, starting with 1,3; option 60 before 93", "wire 1.2; hex dump of a Pi 400",
		{ "eeprom > DISCOVER len=322 xid=* flags=0 ttl=64 id=* sum=yes order=53,55,60,93,94,97 *o55=" LIST_EEPROM " o60=" PI_CLASS
		  " o93=0000 o94=010201 *", "eeprom < OFFER *kind=eeprom *" } },
	{ "EEPROM DHCP", "Option 43's menu must have an item 'Raspberry Pi Boot', or option 66 a dotted address; siaddr alone is not enough", "wire 1.4; rpi-eeprom#559, #376",
		{ "eeprom < OFFER *next=10.77.0.1 *o43=" MENU "*o66='10.77.0.1'*" } },
	{ "EEPROM DHCP", "Replies are of 300 bytes at least, with option 60 = PXEClient and option 97 echoed", "wire 1.4; RFC 1542, 2.1; RFC 4578",
		{ "eeprom < OFFER len=[3-9]?? *o60='PXEClient'*", "!* = warning *300*" } },
	{ "EEPROM DHCP", "Broadcasts a REQUEST without option 55 and waits for the ACK; the same address", "wire 1.4; RFC 2131",
		{ "eeprom > REQUEST * order=53,50,54,*97 *", "eeprom < ACK *kind=eeprom *", "eeprom = bound *", "!* = the address changed" } },
	{ 0 },
};

static const struct fact guid_now[] = {
	{ "EEPROM DHCP", "Option 97: '4iPR' or '5iPR', revision, last four bytes of the MAC, serial: model and directory known from the first DISCOVER", "wire 1.3; release notes 2020-03-16; cmprovision#16",
		{ "eeprom > DISCOVER *o97=00{fourcc}695052{revision-le}{mac-tail}{serial-le}*", "* = known as * model={model} revision={revision} serial={serial} *" } },
	{ "EEPROM DHCP", "Option 60 is in its REQUEST", "wire 1.4", { "eeprom > REQUEST * order=53,50,54,60,97 *" } },
	{ 0 },
};

static const struct fact guid_2021[] = {
	{ "EEPROM DHCP", "Option 97 with the fourcc the other way round, 'RPi4'; the rest keeps its order", "wire 1.3; dnsmasq log of an EEPROM of 2021-04-29",
		{ "eeprom > DISCOVER *o97=0052506934{revision-le}{mac-tail}{serial-le}*", "* = known as * model={model} revision={revision} serial={serial} *" } },
	{ 0 },
};

static const struct fact guid_2020[] = {
	{ "EEPROM DHCP", "Option 97 is the serial four times, as on a Pi 3: still an EEPROM, by its list", "wire 1.3; rpi-eeprom release notes 2020-03-04",
		{ "eeprom > DISCOVER *o97=00{serial-le}{serial-le}{serial-le}{serial-le}*", "eeprom < OFFER *kind=eeprom *", "* = known as * serial={serial} *" } },
	{ "EEPROM DHCP", "No option 60 in its REQUEST: known by its shape, answered all the same", "wire 1.4; rpi-eeprom#82, #87",
		{ "eeprom > REQUEST * order=53,50,54,97 *", "eeprom < ACK *kind=eeprom *" } },
	{ 0 },
};

static const struct fact guid_5_2023[] = {
	{ "EEPROM DHCP", "The first EEPROMs of the Pi 5 called themselves a Pi 4 in option 97: the revision decides", "wire 1.3; release notes 2023-10-30",
		{ "eeprom > DISCOVER *o97=0034695052{revision-le}{mac-tail}{serial-le}*", "* = known as * model=5 *" } },
	{ 0 },
};

static const struct fact tftp_1468[] = {
	{ "TFTP options", "RRQ with tsize and blksize 1468; OACK has what was asked, in that order", "wire 2.1; RFC 2347 to 2349; release notes 2022-10-03",
		{ "eeprom > RRQ * port=* tsize=0 blksize=1468", "eeprom < OACK tsize=* blksize=1468", "* < DATA 1 of 1468" } },
	{ 0 },
};

static const struct fact tftp_1024[] = {
	{ "TFTP options", "RRQ with tsize and blksize 1024, before 2022-10-03", "wire 2.1; rpi-eeprom#25",
		{ "eeprom > RRQ * port=* tsize=0 blksize=1024", "eeprom < OACK tsize=* blksize=1024", "* < DATA 1 of 1024" } },
	{ 0 },
};

static const struct fact eeprom_4[] = {
	{ "TFTP directory", "SERIAL/start4.elf is probed (ERROR 0 after the OACK); there: every later name has the directory", "wire 2.2; Raspberry Pi documentation, TFTP_PREFIX",
		{ "eeprom > RRQ {serial}/start4.elf *", "eeprom < OACK *", "eeprom > ERROR 0 *", "eeprom = directory {serial}/ *", "!eeprom > RRQ [!5]*", "!start4 > RRQ [!5]*" } },
	{ "EEPROM recovery", "pieeprom.sig asked after the first config.txt (self-update): ERROR 1 means no update", "wire 2.3; Raspberry Pi documentation, ENABLE_SELF_UPDATE",
		{ "eeprom = whole {serial}/config.txt *", "eeprom > RRQ {serial}/pieeprom.sig *", "eeprom < ERROR 1 *" } },
	{ "EEPROM recovery", "recover4.elf and recovery.elf are missing: a found one would start the recovery", "wire 2.3, 5.2 (40)",
		{ "eeprom = missing {serial}/recover4.elf *", "eeprom = missing {serial}/recovery.elf *" } },
	{ "start, fixup", "start4.elf and fixup4.dat of one release", "wire 2.3; firmware#1041", { "eeprom = whole {serial}/start4.elf *", "eeprom = whole {serial}/fixup4.dat *" } },
	{ "config.txt", "Read four times; the same bytes each time", "wire 2.3",
		{ "eeprom = whole {serial}/config.txt *", "start4 = whole {serial}/config.txt *", "start4 = whole {serial}/config.txt *", "start4 = whole {serial}/config.txt *",
			"!* = wrong *" } },
	{ "device tree", "The model's own device tree, overlay_map.dtb, overlays: probed, then whole", "wire 2.3",
		{ "start4 = probed {serial}/{dtb} *", "start4 = whole {serial}/{dtb} *", "start4 = whole {serial}/overlays/overlay_map.dtb *",
			"start4 = whole {serial}/overlays/vc4-kms-v3d.dtbo *" } },
	{ "cmdline.txt", "After the overlays; the network root in it, nothing of the card's", "wire 2.3, 4.4",
		{ "start4 = whole {serial}/cmdline.txt *", "start4 = kernel * root=/dev/nfs nfsroot=10.77.0.1:/*" } },
	{ "initramfs, kernel", "initramfs8 before the device tree, armstub missing, kernel8.img last", "wire 2.3",
		{ "start4 = whole {serial}/initramfs8 *", "start4 = missing {serial}/armstub8-gic.bin *", "start4 = whole {serial}/kernel8.img *" } },
	{ 0 },
};

static const struct fact eeprom_5[] = {
	{ "TFTP directory", "The first name is SERIAL/config.txt; there: every later name has the directory", "wire 2.2; bench log of a Pi 5",
		{ "eeprom > RRQ {serial}/config.txt *", "eeprom < OACK *", "eeprom = directory {serial}/ *", "!eeprom > RRQ [!5]*" } },
	{ "TFTP directory", "Doubles the slash in some names: the same file", "wire 2.1; bench log of a Pi 5",
		{ "eeprom > RRQ {serial}//config.txt *", "eeprom = whole {serial}//config.txt *", "eeprom = whole {serial}//cmdline.txt *", "!* = wrong *" } },
	{ "config.txt", "Read three times; the same bytes each time", "wire 2.3",
		{ "eeprom = whole {serial}/config.txt *", "eeprom = whole {serial}//config.txt *", "eeprom = whole {serial}//config.txt *", "!* = wrong *" } },
	{ "EEPROM recovery", "pieeprom.sig asked after the first config.txt (self-update): ERROR 1 means no update", "wire 2.3; rpi-eeprom#838",
		{ "eeprom > RRQ {serial}/pieeprom.sig *", "eeprom < ERROR 1 *" } },
	{ "start, fixup", "Asks for no start*.elf: the firmware is in the EEPROM", "wire 2.3", { "eeprom > RRQ *", "!* > RRQ *start*" } },
	{ "initramfs, kernel", "kernel_2712.img before kernel8.img, initramfs_2712 with it", "wire 2.3; Raspberry Pi documentation, kernel",
		{ "eeprom = probed {serial}/kernel_2712.img *", "eeprom = whole {serial}/initramfs_2712 *", "eeprom = whole {serial}/kernel_2712.img *" } },
	{ "device tree", "The model's own device tree (the D0 stepping has another), overlay_map.dtb, hat_map.dtb, overlays", "wire 2.3",
		{ "eeprom = whole {serial}/{dtb} *", "eeprom = whole {serial}/overlays/overlay_map.dtb *", "eeprom = whole {serial}/overlays/hat_map.dtb *",
			"eeprom = whole {serial}/overlays/vc4-kms-v3d.dtbo *" } },
	{ "cmdline.txt", "After the overlays; the network root in it, nothing of the card's", "wire 2.3, 4.4",
		{ "eeprom = whole {serial}//cmdline.txt *", "eeprom = kernel * root=/dev/nfs nfsroot=10.77.0.1:/*" } },
	{ 0 },
};

/* ---- what runs then ---- */

static const struct fact cmdline_old[] = {
	{ "cmdline.txt", "After the overlays; the network root in it, nothing of the card's", "wire 2.3, 4.4",
		{ "start = whole {serial}/cmdline.txt *", "start = kernel * root=/dev/nfs nfsroot=10.77.0.1:/*" } },
	{ 0 },
};

static const struct fact system_facts[] = {
	{ "kernel", "ip=dhcp: nine entries in option 55, no class, 548 bytes; drops replies under 300", "wire 4.1; Linux net/ipv4/ipconfig.c",
		{ "kernel > DISCOVER len=548 * order=53,55 o53=01 o55=1,3,6,12,15,17,26,40,42", "kernel < OFFER len=[3-9]?? *kind=kernel *", "kernel > REQUEST *",
			"kernel < ACK *kind=kernel *", "kernel = bound *" } },
	{ "kernel", "Option 17 names the board's own root; the firmware's menu (43) is not sent", "wire 4.1, 1.8; RFC 2132, 3.19",
		{ "kernel < ACK *o17='10.77.0.1:/*" } },
	{ "kernel", "Mount without an initramfs: GETPORT, MOUNT NULL, MNT from a port below 1024, GETPORT, NFS NULL, NFSACL refused, FSINFO, PATHCONF, LOOKUP", "wire 4.2; RFC 1813, 1833; Linux fs/nfs",
		{ "* = rpc portmap GETPORT mount: 20048", "* = rpc mount MNT: one flavour, AUTH_SYS", "* = rpc portmap GETPORT nfs: 2049", "* = rpc nfsacl NULL: program unavailable",
			"* = rpc nfs FSINFO: rtmax=1048576 wtmax=1048576", "* = rpc nfs LOOKUP sbin, init: there" } },
	{ "klibc", "ipconfig of the initramfs: class 'Linux ipconfig', host name often its own address as text", "wire 4.3; klibc ipconfig",
		{ "klibc > DISCOVER * order=53,55,60,12 *o55=1,3,6,12,15,17,26,28,40,119 o60='Linux ipconfig' o12='10.77.*", "klibc < OFFER *kind=initramfs *",
			"klibc < ACK *kind=initramfs *", "klibc = bound *" } },
	{ "klibc", "nfsroot= has only options that klibc's nfsmount knows: vers=3, tcp, rsize, wsize", "wire 4.3; raspberrypi/documentation#3205",
		{ "* = kernel * nfsroot=10.77.0.1:/*,vers=3,tcp,rsize=131072,wsize=131072 ip=dhcp *", "!* nfsroot=*proto=*", "!* nfsroot=*mountport=*" } },
	{ "klibc", "Mount by nfsmount: GETPORT of NFS first, then of MOUNT; MNT without NULL", "wire 4.3; log of a 3B+",
		{ "* = rpc klibc GETPORT nfs, mount, MNT: done" } },
	{ "OS client", "Options 61 and 57: user space; another client identifier gets no other address", "wire, table at the top; RFC 2131, 4361",
		{ "os > DISCOVER * order=53,61,57,60,12,55 *", "os < ACK *kind=os *", "os = bound *", "!* = the address changed" } },
	{ "whole boot", "One address through all stages, each file whole, nothing asked in vain", "wire 1.6",
		{ "* = ready, checks failed: 0", "!* = the address changed" } },
	{ 0 },
};

static const struct fact loader_facts[] = {
	{ "U-Boot", "Legacy stack: class U-Boot.armv8, architecture 0x16, no 66 or 67 asked; takes siaddr and the file field", "wire 1.8; U-Boot net/bootp.c",
		{ "uboot > DISCOVER *o93=0016 o94=010000 o60='U-Boot.armv8' o55=1,3,6,12,17", "uboot < OFFER *kind=uboot *next=10.77.0.1 file='boot.scr.uimg' *",
			"uboot = whole boot.scr.uimg *" } },
	{ "U-Boot", "Its EFI boot borrows UEFI's class; option 94 tells it apart", "wire 1.8; U-Boot boot/bootmeth_efi.c",
		{ "uboot-efi > DISCOVER *o93=000b o94=010000 o60='PXEClient:Arch:00011:UNDI:003000' *", "uboot-efi < OFFER *kind=uboot *file='efi/boot/bootaa64.efi' *", "uboot-efi = whole efi/boot/bootaa64.efi *" } },
	{ "U-Boot", "lwIP stack: no class at all, known by its option 55", "wire 1.8; U-Boot net/lwip",
		{ "uboot-lwip > DISCOVER *order=53,57,55 *o55=1,3,28,6,42", "uboot-lwip < OFFER *kind=uboot *file='boot.scr.uimg' *", "uboot-lwip = whole boot.scr.uimg *" } },
	{ "iPXE", "Option 77 'iPXE': a script of its own; the firmware's menu would disturb it", "wire 1.8; RFC 4578; iPXE src/net/udp/dhcp.c",
		{ "ipxe > DISCOVER *o60='PXEClient:Arch:00011:UNDI:003010' o77=69505845 *", "ipxe < OFFER *kind=ipxe *o67='http://10.77.0.1/boot/*/boot.ipxe'*", "!ipxe < * o43=*", "ipxe = bound *" } },
	{ "UEFI", "Asks for a broadcast; takes siaddr and an unpadded option 67, no menu of the firmware's", "wire 1.8; UEFI 2.10, 24.3; rpi5-uefi#22",
		{ "edk2 > DISCOVER * flags=1 *o60='PXEClient:Arch:00011:UNDI:003000'", "edk2 < OFFER *flags=1 kind=uefi *next=10.77.0.1 *o67='efi/boot/bootaa64.efi' *",
			"!edk2 < * o43=*", "edk2 = whole efi/boot/bootaa64.efi *" } },
	{ "UEFI", "HTTP boot: class HTTPClient, architecture 0x13; option 60 HTTPClient back and a URL", "wire 3; UEFI 2.10, 24.7",
		{ "edk2-http > DISCOVER *o93=0013 o60='HTTPClient:Arch:00019:UNDI:003000'", "edk2-http < OFFER *o60='HTTPClient'*o67='http://10.77.0.1/boot/*efi/boot/bootaa64.efi'*",
			"edk2-http = bound *" } },
	{ 0 },
};

static const struct fact http_facts[] = {
	{ "HTTP boot", "BOOT_ORDER 7: boot.sig first, then boot.img, below HTTP_PATH; lower-case 'host:', connection closed after each", "wire 3; Raspberry Pi documentation, HTTP_HOST; release notes 2022-03-10",
		{ "eeprom > GET /net_install/boot.sig HTTP/1.1", "eeprom > HEAD /net_install/boot.img HTTP/1.1", "eeprom = probed net_install/boot.img *",
			"eeprom > GET /net_install/boot.img HTTP/1.1", "eeprom = whole net_install/boot.img *" } },
	{ "HTTP boot", "boot.sig begins with the SHA-256 of boot.img; the file system within it has all this model asks for", "wire 3; systems d.5",
		{ "eeprom = whole net_install/boot.img *", "eeprom = whole config.txt *", "* = whole overlays/vc4-kms-v3d.dtbo *", "* = kernel kernel*", "!* > RRQ *", "!* = wrong *" } },
	{ "HTTP boot", "DHCP names a router, be it the server: a Pi 5 gets no further without one", "systems; log of a Pi 5 fleet", { "eeprom < ACK *o3=0a4d0001 *" } },
	{ 0 },
};

static const struct fact http_broken[] = {
	{ "HTTP boot", "A connection that breaks off is taken up again with Range; the rest of the file comes with status 206", "wire 3; RFC 9110, 14",
		{ "eeprom > GET /net_install/boot.img HTTP/1.1 Range: bytes=[1-9]*-", "eeprom = whole net_install/boot.img *", "* = kernel kernel*" } },
	{ 0 },
};

static const struct fact http_unsigned[] = {
	{ "HTTP boot", "Without boot.sig a plain 404 at once, and the boot by HTTP ends", "wire 3; rpi-eeprom#763",
		{ "eeprom > GET /net_install/boot.sig HTTP/1.1", "eeprom = missing net_install/boot.sig *", "eeprom = gave up *boot.sig: missing*", "!eeprom > * /net_install/boot.img *" } },
	{ 0 },
};

static const struct fact local_4[] = {
	{ "road local", "An empty start4.elf sends it to its next boot mode at once", "wire 2.2; rpi-eeprom#376",
		{ "eeprom < OACK tsize=0 *", "* = gave up * is empty: *boot locally*" } },
	{ 0 },
};

/* ---- the boards ---- */

struct board {
	const char *model;
	const char *then; /* names of what runs after the firmware, separated by blanks */
	const char *road; /* "" : net */
	const struct fact *facts[8];
};

#define SYSTEM "kernel klibc os"
#define LOADERS "uboot uboot-efi uboot-lwip ipxe edk2 edk2-http"
#define FROM_CARD { card, bootcode, cmdline_old, system_facts }
#define FROM_ROM(rom) { rom, rom_all, bootcode, cmdline_old, system_facts }
#define PI4(guid, tftp) { eeprom_dhcp, guid, tftp, eeprom_4, system_facts }
#define PI5(guid) { eeprom_dhcp, guid, tftp_1468, eeprom_5, system_facts }

static const struct board boards[] = {
	{ "1", SYSTEM, "", FROM_CARD },
	{ "zero", SYSTEM, "", FROM_CARD },
	{ "2", SYSTEM, "", FROM_CARD },
	{ "2b-1.2", SYSTEM, "", FROM_ROM(rom_3b) },
	{ "3b", SYSTEM, "", FROM_ROM(rom_3b) },
	{ "3b-card", SYSTEM, "", FROM_CARD },
	{ "3b+", SYSTEM, "", FROM_ROM(rom_3bp) },
	{ "4-2020", SYSTEM, "", PI4(guid_2020, tftp_1024) },
	{ "4-2021", SYSTEM, "", PI4(guid_2021, tftp_1024) },
	{ "4", SYSTEM, "", PI4(guid_now, tftp_1468) },
	{ "400", SYSTEM, "", PI4(guid_now, tftp_1468) },
	{ "cm4", SYSTEM, "", PI4(guid_now, tftp_1468) },
	{ "5-2023", SYSTEM, "", PI5(guid_5_2023) },
	{ "5", SYSTEM, "", PI5(guid_now) },
	{ "5-d0", SYSTEM, "", PI5(guid_now) },
	{ "500", SYSTEM, "", PI5(guid_now) },
	{ "cm5", SYSTEM, "", PI5(guid_now) },
	{ "3b+", LOADERS, "", { loader_facts } },
	{ "4", LOADERS, "", { loader_facts } },
	{ "5", LOADERS, "", { loader_facts } },
	{ "4", "", "local", { local_4 } },
	{ "4", "", "http", { http_unsigned } },
	{ "5", "", "http", { http_unsigned } },
	{ "4", "", "http-signed", { http_facts } },
	{ "cm4", "", "http-signed", { http_facts } },
	{ "5", "", "http-signed", { http_facts } },
	{ "500", "", "http-signed", { http_facts } },
	{ "4", "", "http-broken", { http_broken } },
	{ "5", "", "http-broken", { http_broken } },
};

static void follow(const char *names, const struct br_sim_stage *out[static 8])
{
	br_cleanup(br_freep) char *copy = strdup(names);
	char *save = NULL;
	size_t n = 0;

	for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
		out[n++] = br_sim_follower_by_name(w);
	out[n] = NULL;
}

/* ---- mounts ---- */

static uint32_t getport(struct nfs_rig *rig, uint32_t program)
{
	struct br_writer *w = rig_begin(rig, BR_RPC_PORTMAP, 2, 3);
	struct br_reader r;

	br_put_be32(w, program);
	br_put_be32(w, 3);
	br_put_be32(w, 6); /* TCP */
	br_put_be32(w, 0);
	r = rig_send(rig, BR_RPC_SUCCESS);
	return br_get_be32(&r);
}

static void null_call(struct nfs_rig *rig, uint32_t program, enum br_rpc_accept accept)
{
	rig_begin(rig, program, 3, 0);
	rig_send(rig, accept);
}

static struct nfs_fh readlink_in(struct nfs_rig *rig, const struct nfs_fh *dir, const char *name, char *out, size_t size)
{
	struct nfs_fh fh = rig_lookup(rig, dir, name, BR_NFS3_OK);
	struct br_reader r;
	const uint8_t *p;
	uint32_t n;

	put_fh(rig_nfs(rig, BR_NFS3_READLINK), &fh);
	r = rig_expect(rig, BR_NFS3_OK);
	get_post_attr(&r);
	p = br_xdr_get_opaque(&r, (uint32_t)size - 1, &n);
	assert_non_null(p);
	memcpy(out, p, n);
	out[n] = 0;
	return fh;
}

/* init is where the usual link leads: sbin is usr/sbin. */
static void look_for_init(struct lab *l, struct nfs_rig *rig, const struct nfs_fh *root)
{
	struct nfs_fh dir;
	char to[64];

	readlink_in(rig, root, "sbin", to, sizeof(to));
	assert_string_equal(to, "usr/sbin");
	dir = rig_lookup(rig, root, "usr", BR_NFS3_OK);
	dir = rig_lookup(rig, &dir, "sbin", BR_NFS3_OK);
	rig_lookup(rig, &dir, "init", BR_NFS3_OK);
	lab_log(l, "= rpc nfs LOOKUP sbin, init: there");
}

/* The order of wire facts 4.2. */
static void kernel_mounts(struct lab *l, struct nfs_rig *rig, const char *path)
{
	struct nfs_fh root;
	struct br_reader r;
	uint32_t rtmax, wtmax;

	lab_log(l, "= rpc portmap GETPORT mount: %u", getport(rig, BR_RPC_MOUNT));
	null_call(rig, BR_RPC_MOUNT, BR_RPC_SUCCESS);
	root = rig_mount(rig, path);
	lab_log(l, "= rpc mount MNT: one flavour, AUTH_SYS");
	lab_log(l, "= rpc portmap GETPORT nfs: %u", getport(rig, BR_RPC_NFS));
	null_call(rig, BR_RPC_NFS, BR_RPC_SUCCESS);
	null_call(rig, 100227, BR_RPC_PROG_UNAVAIL);
	lab_log(l, "= rpc nfsacl NULL: program unavailable");
	put_fh(rig_nfs(rig, BR_NFS3_FSINFO), &root);
	r = rig_expect(rig, BR_NFS3_OK);
	get_post_attr(&r);
	rtmax = br_get_be32(&r);
	br_get_be64(&r);
	wtmax = br_get_be32(&r);
	lab_log(l, "= rpc nfs FSINFO: rtmax=%u wtmax=%u", rtmax, wtmax);
	put_fh(rig_nfs(rig, BR_NFS3_PATHCONF), &root);
	rig_expect(rig, BR_NFS3_OK);
	rig_getattr(rig, &root);
	look_for_init(l, rig, &root);
}

static void klibc_mounts(struct lab *l, struct nfs_rig *rig, const char *path)
{
	assert_int_equal(getport(rig, BR_RPC_NFS), 2049);
	assert_int_equal(getport(rig, BR_RPC_MOUNT), 20048);
	rig_mount(rig, path);
	lab_log(l, "= rpc klibc GETPORT nfs, mount, MNT: done");
}

static void mounts(struct lab *l)
{
	static struct nfs_rig rig;
	struct br_nfs_options opt = { .ops = &br_glue_nfs_ops, .ctx = l->nfs_glue };
	const char *path = strstr(l->cmdline, "nfsroot=10.77.0.1:");
	br_cleanup(br_freep) char *copy = NULL;

	assert_non_null(path);
	path += strlen("nfsroot=10.77.0.1:");
	copy = strndup(path, strcspn(path, ", "));
	memset(&rig, 0, sizeof(rig));
	assert_int_equal(br_nfs_core_init(&rig.core, &opt), 0);
	rig.core.nfs_port = 2049;
	rig.core.mount_port = 20048;
	rig.cred.flavor = BR_RPC_AUTH_SYS;
	rig.ip = l->board_ip;
	rig.port = 931;
	rig.services = BR_NFS_NFS | BR_NFS_MOUNT | BR_NFS_PORTMAP;
	rig.now_ns = l->now;
	kernel_mounts(l, &rig, copy);
	klibc_mounts(l, &rig, copy);
	br_nfs_core_done(&rig.core);
	free(rig.reply);
}

/* ---- the judge ---- */

/* What {names} in patterns stand for, of the board that has just run. */
static char *fill_in(const struct lab *l, const char *pattern)
{
	const struct br_sim_model *m = l->board->config.model;
	uint32_t serial = l->board->config.serial, rev = m->revision;
	const uint8_t *mac = l->mac.b;
	char serial_text[9], serial_le[9], rev_le[9], rev_text[9], tail[9], fourcc[9], initramfs[BR_PI_CONFIG_NAME] = "";
	const struct br_pi_model *pi = br_pi_model_by_revision(rev);
	const struct {
		const char *name, *value;
	} names[] = { { "{serial}", serial_text }, { "{serial-le}", serial_le }, { "{revision-le}", rev_le }, { "{revision}", rev_text },
		{ "{mac-tail}", tail }, { "{fourcc}", fourcc }, { "{dtb}", m->dtbs[0] }, { "{kernel}", l->board->kernel },
		{ "{initramfs}", initramfs }, { "{model}", pi ? pi->id : "?" } };
	struct br_text t = BR_TEXT_NULL;

	snprintf(serial_text, sizeof(serial_text), "%08x", serial);
	snprintf(serial_le, sizeof(serial_le), "%08x", __builtin_bswap32(serial));
	snprintf(rev_text, sizeof(rev_text), "%x", rev);
	snprintf(rev_le, sizeof(rev_le), "%08x", __builtin_bswap32(rev));
	snprintf(tail, sizeof(tail), "%02x%02x%02x%02x", mac[2], mac[3], mac[4], mac[5]);
	snprintf(fourcc, sizeof(fourcc), "%02x", '0' + (unsigned)m->guid);
	br_pi_initramfs_name(l->board->kernel, initramfs);
	while (*pattern) {
		size_t n = 0;

		for (size_t i = 0; !n && i < BR_ARRAY_SIZE(names); i++)
			if (br_str_starts(pattern, names[i].name)) {
				n = strlen(names[i].name);
				br_text_add(&t, names[i].value);
			}
		if (!n)
			br_text_add_bytes(&t, pattern, n = 1);
		pattern += n;
	}
	return br_text_take(&t);
}

/* NULL when the fact was seen, else the pattern that was not; free(). */
static char *missing(const struct lab *l, const struct fact *f)
{
	const char *at = l->log.buf;

	for (size_t i = 0; i < BR_ARRAY_SIZE(f->see) && f->see[i]; i++) {
		bool never = f->see[i][0] == '!';
		br_cleanup(br_freep) char *pattern = fill_in(l, f->see[i] + never);
		const char *from = at;

		if (lab_find(l, pattern, never ? &from : &at) == never)
			return br_take(pattern);
	}
	return NULL;
}

static void conclude(struct lab *l)
{
	struct br_board b;

	if (l->address_changed)
		lab_log(l, "= the address changed");
	if (l->ready)
		lab_log(l, "= ready, checks failed: %u", br_sim_board_wrong(l->board));
	if (!br_board_by_mac(l->fleet, l->mac, &b))
		lab_log(l, "= known as %s model=%s revision=%x serial=%08x .", b.name, b.model, b.revision, (uint32_t)b.serial);
}

static void play(struct lab *l, const struct board *b)
{
	const struct br_sim_stage *then[8];

	follow(b->then, then);
	if (!strcmp(b->road, "http-signed"))
		lab_sign(l);
	lab_boot(l, b->model, then, *b->road ? b->road : NULL);
	if (l->ready && l->cmdline && strstr(b->then, "kernel"))
		mounts(l);
	conclude(l);
}

/* ---- the table ---- */

/* Facts by stage, each with the models that it was seen of. */
struct row {
	const struct fact *fact;
	struct br_text models;
	unsigned n_wrong;
};

#define ROWS_MAX 128

static struct row rows[ROWS_MAX];
static size_t n_rows;

static struct row *row_of(const struct fact *f)
{
	for (size_t i = 0; i < n_rows; i++)
		if (rows[i].fact == f)
			return &rows[i];
	assert_true(n_rows < ROWS_MAX);
	rows[n_rows].fact = f;
	return &rows[n_rows++];
}

static const char *const stages[] = { "ROM DHCP", "ROM TFTP", "bootcode.bin DHCP", "EEPROM DHCP", "identity", "TFTP options",
	"TFTP directory", "EEPROM recovery", "HTTP boot", "start, fixup", "config.txt", "device tree", "cmdline.txt", "initramfs, kernel", "U-Boot",
	"iPXE", "UEFI", "kernel", "klibc", "OS client", "whole boot", "road local" };

#define N_MODELS_MAX 32

struct cell {
	unsigned seen, wrong;
};
static struct cell cells[N_MODELS_MAX][BR_ARRAY_SIZE(stages)];

static size_t stage_index(const char *stage)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(stages); i++)
		if (!strcmp(stages[i], stage))
			return i;
	fail_msg("no stage '%s'", stage);
	return 0;
}

static void judge(struct lab *l, const struct board *b, const struct fact *f)
{
	struct cell *c = &cells[br_sim_model_by_id(b->model) - br_sim_models][stage_index(f->stage)];
	br_cleanup(br_freep) char *unseen = missing(l, f);
	struct row *row = row_of(f);

	br_text_addf(&row->models, "%s%s%s", row->models.len ? ", " : "", b->model, unseen ? " ✗" : "");
	c->seen += !unseen;
	c->wrong += unseen != NULL;
	row->n_wrong += unseen != NULL;
	if (unseen)
		fprintf(stderr, "%s: %s: %s\n  not as it should be: %s\n", b->model, f->stage, f->what, unseen);
}

static void add_matrix(struct br_text *t)
{
	br_text_add(t, "| model |");
	for (size_t s = 0; s < BR_ARRAY_SIZE(stages); s++)
		br_text_addf(t, " %s |", stages[s]);
	br_text_add(t, "\n| --- |");
	for (size_t s = 0; s < BR_ARRAY_SIZE(stages); s++)
		br_text_add(t, " :-: |");
	br_text_add(t, "\n");
	for (size_t m = 0; br_sim_models[m].id; m++) {
		br_text_addf(t, "| `%s` %s |", br_sim_models[m].id, br_sim_models[m].name);
		for (size_t s = 0; s < BR_ARRAY_SIZE(stages); s++) {
			const struct cell *c = &cells[m][s];

			if (c->wrong)
				br_text_addf(t, " ✗ %u of %u |", c->wrong, c->seen + c->wrong);
			else
				br_text_add(t, c->seen ? " ✓ |" : " |");
		}
		br_text_add(t, "\n");
	}
}

static void add_facts(struct br_text *t)
{
	br_text_add(t, "| stage | what it does, and what it gets | models | result | fact |\n| --- | --- | --- | :-: | --- |\n");
	for (size_t s = 0; s < BR_ARRAY_SIZE(stages); s++)
		for (size_t i = 0; i < n_rows; i++)
			if (!strcmp(rows[i].fact->stage, stages[s]))
				br_text_addf(t, "| %s | %s | %s | %s | %s |\n", stages[s], rows[i].fact->what, rows[i].models.buf,
					rows[i].n_wrong ? "✗" : "✓", rows[i].fact->from);
}

static const char head[] =
	"# Every model, every stage\n\n"
	"Written by `tests/unit/test_models.c`: virtual boards of all models (`bramble sim --model M`) boot from the real DHCP, TFTP and NFS\n"
	"servers, and what goes over the wire is held against what is known of the real ones. `./dev test` fails when this file is not what the\n"
	"test finds; `build-asan/tests/unit/test_models write` writes it anew.\n\n"
	"*wire* is the project's collection of facts about the boards' protocols, by section: read off packet dumps, boot logs and sources, which\n"
	"are named where one of them says it first (`repository#number`: an issue on GitHub).\n\n"
	"## Model × stage\n\n"
	"✓: all facts of that stage (below) were seen; empty: this model has no such stage, or it is the same as another's.\n\n";

static char *table(void)
{
	struct br_text t = BR_TEXT_NULL;

	br_text_add(&t, head);
	add_matrix(&t);
	br_text_add(&t, "\n## The facts\n\n");
	add_facts(&t);
	return br_text_take(&t);
}

/* ---- ---- */

static struct lab lab;
static const char *how = "";

static char *doc_path(void)
{
	const char *root = getenv("SOURCE_ROOT");

	return br_asprintf("%s/docs/models.md", root ? root : ".");
}

static void every_fact_is_seen(void **state)
{
	unsigned n_wrong = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(boards); i++) {
		const struct board *b = &boards[i];

		play(&lab, b);
		for (size_t g = 0; g < BR_ARRAY_SIZE(b->facts) && b->facts[g]; g++)
			for (const struct fact *f = b->facts[g]; f->stage; f++)
				judge(&lab, b, f);
	}
	for (size_t i = 0; i < n_rows; i++)
		n_wrong += rows[i].n_wrong;
	assert_int_equal(n_wrong, 0);
}

static void the_document_says_so(void **state)
{
	br_cleanup(br_freep) char *path = doc_path(), *is = table(), *was = NULL;
	struct br_error err = BR_ERROR_NULL;
	size_t len;

	if (!strcmp(how, "write") && br_file_write(path, is, strlen(is), 0644, &err) < 0)
		fail_msg("%s", err.text);
	if (br_file_read(path, 1 << 20, &was, &len, &err) < 0)
		fail_msg("%s", err.text);
	if (strcmp(was, is))
		fail_msg("docs/models.md is not what the boards did: build-asan/tests/unit/test_models write");
}

static int open_lab(void **state)
{
	return lab_open(&lab) ? 0 : -1;
}

static int close_lab(void **state)
{
	for (size_t i = 0; i < n_rows; i++)
		br_text_done(&rows[i].models);
	lab_close(&lab);
	return 0;
}

static void show(const char *model)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(boards); i++)
		if (!strcmp(boards[i].model, model)) {
			play(&lab, &boards[i]);
			printf("---- %s, then %s\n%s", model, boards[i].then, lab.log.buf);
		}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_fact_is_seen),
		cmocka_unit_test(the_document_says_so),
	};

	if (test_sh("for t in " LAB_TOOLS "; do command -v $t >/dev/null || exit 1; done")) {
		printf("1..0 # SKIP needs " LAB_TOOLS "\n");
		return 0;
	}
	how = argc > 1 ? argv[1] : "";
	if (argc > 2 && !strcmp(how, "log")) {
		open_lab(NULL);
		show(argv[2]);
		return close_lab(NULL);
	}
	return cmocka_run_group_tests(tests, open_lab, close_lab);
}
