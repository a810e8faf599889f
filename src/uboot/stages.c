/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 1 and stage 2 as text. What U-Boot's regular expressions cannot (QEMU notes 4: no ranges, no "\.", and a pattern
 * that does not match is a failure in 2023.01 and none in 2025.01) is worked around in add_match(): the result is one
 * fixed word or it is not.
 */
#include "uboot/stages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define DEFAULT_WAIT 60
#define TRY_S	     10 /* of one DHCP attempt and what follows it when nobody answers */

/* Memory from the kernel on: 64 MiB for it, 96 MiB for initramfs files, then room to unpack a kernel (booti). Boards have
 * at least 512 MiB, their U-Boot lies at the end. */
#define RAMDISK_OFFSET "4000000"
#define UNPACK_OFFSET  "a000000"

/* A ' counts as one within "...", too, a backslash escapes even within '...', and control characters mean variables. */
void br_uboot_quote(struct br_text *t, const char *text)
{
	br_text_add(t, "'");
	for (const char *s = text; *s; s++) {
		if (*s == '\'')
			br_text_add(t, "'\\''");
		else if (*s == '\\')
			br_text_add(t, "\\\\");
		else if ((unsigned char)*s >= 0x20 && *s != 0x7f)
			br_text_add_bytes(t, s, 1);
	}
	br_text_add(t, "'");
}

/* bramble_m becomes "yes" when the variable matches; nothing else gives that word. */
static void add_match(struct br_text *t, const char *variable, const char *pattern)
{
	br_text_addf(t, "setenv bramble_m; if test -n \"${%s}\"; then setexpr bramble_m sub '.*(%s).*' 'yes' \"${%s}\"; fi\n",
		variable, pattern, variable);
}

/* Which tree the kernel gets: the firmware's, with its overlays, where there is one; and what is told in it. */
static void add_device_tree(struct br_text *t)
{
	br_text_add(t,
		"setenv bramble_fdt \"${fdt_addr}\"\n"
		"if test -z \"${bramble_fdt}\"; then setenv bramble_fdt \"${fdtcontroladdr}\"; fi\n"
		"setenv bramble_kept; setenv bramble_alias; setenv bramble_tty ttyAMA0\n"
		"fdt addr ${bramble_fdt}\n"
		"fdt get value bramble_kept /chosen bootargs\n"
		"fdt get value bramble_alias /aliases serial0\n");
	/* the mini UART of the Pi 3 and 4, the debug port of the Pi 5 */
	add_match(t, "bramble_alias", "7e215040");
	br_text_add(t, "if test \"${bramble_m}\" = yes; then setenv bramble_tty ttyS0; fi\n");
	add_match(t, "bramble_alias", "107d001000");
	br_text_add(t, "if test \"${bramble_m}\" = yes; then setenv bramble_tty ttyAMA10; fi\n");
}

/*
 * bramble_args: the firmware's arguments without those about a root and a debugger. The last word is there so that
 * something always stays: U-Boot has no empty variables.
 */
static void add_kept_arguments(struct br_text *t, uint64_t boot)
{
	br_text_addf(t,
		"setenv bramble_all \" ${bramble_kept} bramble.boot=%llu\"\n"
		"setenv bramble_args; setexpr bramble_args gsub ' (root|nfsroot|kgdboc|ip=)[^ ]*' '' \"${bramble_all}\"\n"
		"if test -z \"${bramble_args}\"; then setenv bramble_args \"${bramble_all}\"; fi\n",
		(unsigned long long)boot);
}

/*
 * The watchdog of the Raspberry Pi while the scripts run, where U-Boot was built with it (Debian's is not). It is stopped
 * before a kernel starts: the driver in there may be a module, and come later than its 16 s.
 */
static void add_watchdog(struct br_text *t)
{
	br_text_add(t, "setenv bramble_wdt; if wdt dev watchdog@7e100000; then if wdt start 15000; then setenv bramble_wdt 1; fi; fi\n");
}

static void add_watchdog_end(struct br_text *t)
{
	br_text_add(t, "if test -n \"${bramble_wdt}\"; then wdt stop; setenv bramble_wdt; fi\n");
}

/* Loads one behind the other; bramble_rs is how long all are. what: "tftpboot ADDR NAME" or "load IF DEV ADDR NAME". */
static void add_initramfs(struct br_text *t, const struct br_uboot_kernel *k, const char *load, const char *indent)
{
	br_text_addf(t, "%ssetenv bramble_rs 0; setenv bramble_ok 1\n", indent);
	for (size_t i = 0; i < BR_UBOOT_INITRAMFS_MAX && k->initramfs[i]; i++) {
		br_text_addf(t, "%ssetexpr bramble_at ${bramble_r} + ${bramble_rs}\n%sif %s ${bramble_at} ", indent, indent, load);
		br_uboot_quote(t, k->initramfs[i]);
		br_text_addf(t, "; then setexpr bramble_rs ${bramble_rs} + ${filesize}; else setenv bramble_ok; fi\n");
	}
}

static void add_addresses(struct br_text *t)
{
	br_text_add(t,
		"setexpr bramble_r ${kernel_addr_r} + " RAMDISK_OFFSET "\n"
		"setexpr kernel_comp_addr_r ${kernel_addr_r} + " UNPACK_OFFSET "\n");
}

/* Kernel and initramfs of one width, started. 'load' as above. */
static void add_kernel(struct br_text *t, const struct br_uboot_kernel *k, const char *load, const char *boot)
{
	br_text_addf(t, "  if %s ${kernel_addr_r} ", load);
	br_uboot_quote(t, k->kernel);
	br_text_add(t, "; then\n    setenv kernel_comp_size ${filesize}\n");
	add_initramfs(t, k, load, "    ");
	br_text_add(t, "    if test -n \"${bramble_ok}\"; then\n");
	add_watchdog_end(t);
	if (k->initramfs[0])
		br_text_addf(t, "      %s ${kernel_addr_r} ${bramble_r}:${bramble_rs} ${bramble_fdt}\n", boot);
	else
		br_text_addf(t, "      %s ${kernel_addr_r} - ${bramble_fdt}\n", boot);
	br_text_add(t, "    fi\n  fi\n");
}

static void add_no_kernel(struct br_text *t, const char *width, const char *image)
{
	br_text_addf(t, "  echo \"bramble: the image has no %s kernel, which this U-Boot needs:\" ", width);
	br_uboot_quote(t, image);
	br_text_add(t, "\n");
}

/* The arguments of the server's line with the name of the serial port left open: bootargs out of both. */
static void add_bootargs(struct br_text *t, const char *cmdline)
{
	static const char serial0[] = "console=serial0";
	br_cleanup(br_freep) char *copy = strdup(cmdline);
	struct br_text rest = BR_TEXT_NULL;
	const char *console = NULL;
	char *save = NULL;

	if (!copy) {
		t->failed = true;
		return;
	}
	for (char *arg = strtok_r(copy, " \t\r\n", &save); arg; arg = strtok_r(NULL, " \t\r\n", &save)) {
		if (br_str_starts(arg, serial0) && strspn(arg + sizeof(serial0) - 1, ",0123456789noe") ==
			strlen(arg + sizeof(serial0) - 1))
			console = arg + sizeof(serial0) - 1;
		else
			br_text_addf(&rest, "%s%s", rest.len ? " " : "", arg);
	}
	br_text_add(t, "setenv bramble_console\n");
	if (console) { /* unless the firmware names one: it knows which it is */
		add_match(t, "bramble_args", " console=tty(S|AMA)");
		br_text_addf(t, "if test \"${bramble_m}\" != yes; then setenv bramble_console \"console=${bramble_tty}%s\"; fi\n",
			console);
	}
	br_text_add(t, "setenv bootargs \"${bramble_args} ${bramble_console}\" ");
	br_uboot_quote(t, rest.buf ?: "");
	br_text_add(t, "\n");
	t->failed |= rest.failed;
	br_text_done(&rest);
}

static void add_net(struct br_text *t, const struct br_uboot_stage2 *in)
{
	add_device_tree(t);
	add_kept_arguments(t, in->boot);
	add_bootargs(t, in->cmdline);
	/* firmware that read our cmdline.txt has told everything already */
	add_match(t, "bramble_kept", in->root);
	br_text_add(t, "if test \"${bramble_m}\" = yes; then setenv bootargs \"${bramble_kept}\"; fi\n");
	add_addresses(t);
	br_text_add(t, "if test \"${cpu}\" = armv8; then\n");
	if (in->arm64.kernel)
		add_kernel(t, &in->arm64, "tftpboot", "booti");
	else
		add_no_kernel(t, "64-bit", in->image);
	br_text_add(t, "else\n");
	if (in->arm.kernel)
		add_kernel(t, &in->arm, "tftpboot", "bootz");
	else
		add_no_kernel(t, "32-bit", in->image);
	br_text_add(t, "fi\necho \"bramble: the system could not be started\"\n");
}

static void add_efi(struct br_text *t, const struct br_uboot_stage2 *in)
{
	br_text_add(t,
		"setenv bramble_fdt \"${fdt_addr}\"\n"
		"if test -z \"${bramble_fdt}\"; then setenv bramble_fdt \"${fdtcontroladdr}\"; fi\n"
		"if tftpboot ${kernel_addr_r} ");
	br_uboot_quote(t, in->efi);
	br_text_add(t, "; then\n");
	add_watchdog_end(t);
	br_text_add(t, "bootefi ${kernel_addr_r} ${bramble_fdt}; fi\necho \"bramble: the EFI program ended\"\n");
}

/* A text file as a variable: "NAME=" goes before it in memory, then it is read as settings (systems notes a.3). */
static void add_cmdline_of(struct br_text *t)
{
	br_text_add(t,
		"        setenv cmdline; setexpr bramble_at ${bramble_r} + 8\n"
		"        if load ${bif} ${n}:${p} ${bramble_at} cmdline.txt; then\n"
		"          mw.l ${bramble_r} 6c646d63; setexpr bramble_at ${bramble_r} + 4; mw.l ${bramble_at} 3d656e69\n"
		"          setexpr bramble_rs ${filesize} + 8; env import -t ${bramble_r} ${bramble_rs} cmdline\n"
		"          setenv bramble_m; setexpr bramble_m sub serial0 ${bramble_tty} \"${cmdline}\"\n"
		"          if test -n \"${bramble_m}\"; then setenv cmdline \"${bramble_m}\"; fi\n"
		"        fi\n"
		"        setenv bootargs \"${bramble_args} ${cmdline}\"\n");
}

/* Which kernel a boot partition has: by name of the image, else as config.txt and the firmware choose. */
static void add_local_names(struct br_text *t, const struct br_uboot_kernel *k)
{
	br_text_add(t,
		"        setenv kernel; setenv os_prefix; setenv auto_initramfs; setenv bramble_i\n"
		"        env import -t ${bramble_r} ${filesize} kernel os_prefix auto_initramfs\n");
	if (k->kernel) {
		br_text_add(t, "        setenv os_prefix; setenv kernel ");
		br_uboot_quote(t, k->kernel);
		if (k->initramfs[0]) {
			br_text_add(t, "\n        setenv bramble_i ");
			br_uboot_quote(t, k->initramfs[0]);
		}
		br_text_add(t, "\n");
		return;
	}
	br_text_add(t,
		"        if test -z \"${kernel}\"; then\n"
		"          setenv kernel kernel8.img; setenv bramble_i initramfs8\n"
		"          if test \"${bramble_5}\" = yes && test -e ${bif} ${n}:${p} ${os_prefix}kernel_2712.img; then\n"
		"            setenv kernel kernel_2712.img; setenv bramble_i initramfs_2712\n"
		"          fi\n"
		"        fi\n"
		"        if test \"${auto_initramfs}\" != 1; then setenv bramble_i; fi\n"
		"        setenv kernel \"${os_prefix}${kernel}\"\n"
		"        if test -n \"${bramble_i}\"; then setenv bramble_i \"${os_prefix}${bramble_i}\"; fi\n");
}

static void add_local_boot(struct br_text *t)
{
	br_text_add(t,
		"        if load ${bif} ${n}:${p} ${kernel_addr_r} ${kernel}; then\n"
		"          setenv kernel_comp_size ${filesize}\n");
	add_watchdog_end(t);
	br_text_add(t,
		"          if test -n \"${bramble_i}\"; then\n"
		"            if load ${bif} ${n}:${p} ${bramble_r} ${bramble_i}; then\n"
		"              if test \"${cpu}\" = armv8; then booti ${kernel_addr_r} ${bramble_r}:${filesize} ${bramble_fdt}\n"
		"              else bootz ${kernel_addr_r} ${bramble_r}:${filesize} ${bramble_fdt}; fi\n"
		"            fi\n"
		"          else\n"
		"            if test \"${cpu}\" = armv8; then booti ${kernel_addr_r} - ${bramble_fdt}\n"
		"            else bootz ${kernel_addr_r} - ${bramble_fdt}; fi\n"
		"          fi\n"
		"        fi\n");
}

/* What is behind the recovery partition first. */
static void add_local_disks(struct br_text *t, const struct br_uboot_kernel *k, const char *bifs, const char *devs)
{
	br_text_addf(t, "for bif in %s; do\n", bifs);
	br_text_add(t,
		"  if test ${bif} = usb; then usb start; fi\n"
		"  if test ${bif} = nvme; then nvme scan; fi\n"
		"  if test ${bif} = virtio; then virtio scan; fi\n"
		"  if test ${bif} = scsi; then scsi scan; fi\n");
	/* "2 5 6", in hexadecimal; without a table there is only 1 to try. What is behind the recovery partition comes first: an
	 * image's boot partition need not be its first */
	br_text_addf(t, "  for n in %s; do\n  setenv bramble_parts; if part list ${bif} ${n} bramble_parts; then true; fi\n", devs);
	br_text_add(t,
		"  for q in ${bramble_parts} last; do\n"
		"    setenv p ${q}; if test ${q} = 1; then setenv p none; fi; if test ${q} = last; then setenv p 1; fi\n"
		"    if test ${p} != none && test -e ${bif} ${n}:${p} config.txt && load ${bif} ${n}:${p} ${bramble_r} config.txt; then\n"
		"      if test -e ${bif} ${n}:${p} " BR_UBOOT_CARD_MARK "; then echo \"bramble: ${bif} ${n}:${p} is the recovery system\"\n"
		"      else\n"
		"        echo \"bramble: the system on ${bif} ${n}:${p}\"\n");
	add_local_names(t, k);
	add_cmdline_of(t);
	add_local_boot(t);
	br_text_add(t,
		"      fi\n"
		"    fi\n"
		"  done; done\n"
		"done\n");
}

/* The board's own storage; in->target "mmc0" first. */
static void add_local(struct br_text *t, const struct br_uboot_stage2 *in)
{
	const char *target = in->target ?: "";
	size_t n = strcspn(target, "0123456789");
	char bif[8], dev[8];
	unsigned v = 0;

	add_device_tree(t);
	add_kept_arguments(t, in->boot);
	add_match(t, "fdtfile", "bcm2712");
	br_text_add(t, "setenv bramble_5 \"${bramble_m}\"\n");
	add_addresses(t);
	if (n && n < sizeof(bif) && sscanf(target + n, "%2u", &v) == 1) {
		snprintf(bif, sizeof(bif), "%.*s", (int)n, target);
		snprintf(dev, sizeof(dev), "%x", v);
		add_local_disks(t, &in->arm64, bif, dev);
		if (in->only_target) { /* an old system of another disk would count as the flashed one */
			br_text_addf(t, "echo \"bramble: what was flashed on %s %s does not start: starts again in 10 s\"\n"
				"sleep 10\nreset\n", bif, dev);
			return;
		}
		/* the names are those of what was flashed there */
		add_local_disks(t, &(struct br_uboot_kernel){ 0 }, "mmc nvme usb virtio scsi", "0 1");
	} else {
		/* the disk whose script this is, where it is stage 1 of a card: its own system, not one that somebody plugged in */
		br_text_add(t, "if test -n \"${bramble_card}\"; then\n");
		add_local_disks(t, &in->arm64, "${devtype}", "${devnum}");
		br_text_add(t, "fi\n");
		add_local_disks(t, &in->arm64, "mmc nvme usb virtio scsi", "0 1");
	}
	br_text_add(t, "echo \"bramble: no system was found on the storage of the board\"\n");
}

char *br_uboot_stage2(const struct br_uboot_stage2 *in)
{
	static const char *const roads[] = {
		[BR_UBOOT_NET] = "over the network",
		[BR_UBOOT_FLASH_ROAD] = "from its own storage",
		[BR_UBOOT_EFI] = "by EFI",
	};
	struct br_text t = BR_TEXT_NULL;

	br_text_add(&t, "echo \"bramble: stage 2:\" ");
	br_uboot_quote(&t, in->board);
	br_text_addf(&t, " \"boots %s:\" ", roads[in->road]);
	br_uboot_quote(&t, in->image);
	/* 32 frames at once and U-Boot's virtio-net hangs (QEMU notes 5) */
	br_text_add(&t, "\nsetenv tftpblocksize 1468; setenv tftpwindowsize 8\n"
			"if tftpboot ${scriptaddr} " BR_UBOOT_FLASH "; then source ${scriptaddr}; fi\n");
	if (in->road == BR_UBOOT_NET)
		add_net(&t, in);
	else if (in->road == BR_UBOOT_EFI)
		add_efi(&t, in);
	else
		add_local(&t, in);
	return br_text_take(&t);
}

/* bramble_model from "broadcom/bcm2837-rpi-3-b-plus.dtb"; else the name of the board's code in U-Boot. */
static void add_model(struct br_text *t)
{
	br_text_add(t,
		"setenv bramble_model \"${board}\"\n"
		"setenv bramble_m; if test -n \"${fdtfile}\"; then "
		"setexpr bramble_m sub '.*-rpi-(.*)[.]dtb' \"\\\\1\" \"${fdtfile}\"; fi\n"
		"if test -n \"${bramble_m}\" && test \"${bramble_m}\" != \"${fdtfile}\"; then "
		"setenv bramble_model \"${bramble_m}\"; fi\n"
		"setenv bootp_vci \"bramble.${bramble_model}\"\n");
}

/* bramble_card: the disk with the recovery partition that this script was started from, "mmc 0". U-Boot's own boot sets the
 * variables, also for disks on which it found nothing before it turned to the network: the mark decides. */
static void add_card(struct br_text *t)
{
	br_text_add(t,
		"setenv bramble_card; if test -n \"${devtype}\" && test -n \"${devnum}\"; then\n"
		"  if test -e ${devtype} ${devnum}:1 " BR_UBOOT_CARD_MARK "; then setenv bramble_card \"${devtype} ${devnum}\"; fi\nfi\n");
}

char *br_uboot_stage1(const struct br_uboot_stage1 *in)
{
	unsigned wait = in->wait_s ? in->wait_s : DEFAULT_WAIT, tries = (wait + TRY_S - 1) / TRY_S;
	struct br_text t = BR_TEXT_NULL;

	br_text_add(&t, "echo \"bramble: stage 1\"\n");
	if (in->server)
		br_text_addf(&t, "setenv bramble_server %s\n", in->server);
	add_card(&t);
	add_model(&t);
	add_watchdog(&t);
	br_text_addf(&t,
		"setenv autoload no; setenv netretry no; setenv bootpretryperiod %u000\n"
		"setenv tftptimeout 2000; setenv tftptimeoutcountmax 5\n"
		"setenv tftpblocksize 1468; setenv tftpwindowsize 8\n"
		"for try in", TRY_S - 2);
	for (unsigned i = 1; i <= tries; i++)
		br_text_addf(&t, " %u", i);
	br_text_addf(&t,
		"; do\n"
		"  echo \"bramble: asks for a server as ${bootp_vci} (${try} of %u)\"\n"
		"  if dhcp; then\n"
		"    if test -n \"${bramble_server}\"; then setenv serverip ${bramble_server}; fi\n"
		"    if tftpboot ${scriptaddr} " BR_UBOOT_STAGE2 "; then source ${scriptaddr}; fi\n"
		"  fi\n"
		"  if test -z \"${ethact}\"; then usb reset; fi\n" /* no network card was seen: on USB one may come late */
		"  sleep 2\n"
		"done\n"
		"echo \"bramble: no server after %u s: the system on the board itself\"\n", tries, tries * TRY_S);
	add_local(&t, &(struct br_uboot_stage2){ 0 });
	br_text_add(&t, "echo \"bramble: starts again in 10 s\"\nsleep 10\nreset\n");
	return br_text_take(&t);
}

/* "console=serial0" is the firmware's word; the kernel knows the port's own name. */
static void add_pxe_cmdline(struct br_text *t, const char *cmdline, const char *tty)
{
	static const char serial0[] = "console=serial0";

	for (const char *s = cmdline; *s;) {
		size_t n = strcspn(s, " \t\r\n");

		if (!strncmp(s, serial0, sizeof(serial0) - 1)) {
			br_text_addf(t, " console=%s", tty);
			br_text_add_bytes(t, s + sizeof(serial0) - 1, n - (sizeof(serial0) - 1));
		} else if (n) {
			br_text_add(t, " ");
			br_text_add_bytes(t, s, n);
		}
		s += n + strspn(s + n, " \t\r\n");
	}
}

char *br_uboot_pxelinux(const struct br_uboot_stage2 *in, const char *tty)
{
	struct br_text t = BR_TEXT_NULL;

	br_text_addf(&t, "# made by bramble for %s\nDEFAULT bramble\nPROMPT 0\nTIMEOUT 1\nLABEL bramble\n  KERNEL /%s\n", in->board,
		in->arm64.kernel);
	if (in->arm64.initramfs[0])
		br_text_addf(&t, "  INITRD /%s\n", in->arm64.initramfs[0]);
	br_text_add(&t, "  APPEND");
	add_pxe_cmdline(&t, in->cmdline, tty);
	br_text_add(&t, "\n");
	return br_text_take(&t);
}
