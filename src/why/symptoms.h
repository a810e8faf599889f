/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Between rules.c and symptoms.c: predicates of the table, and what both ask. */
#include "why/rules.h"

/* The first server that offered something and fits; NULL. */
const struct br_why_server *br_case_server(const struct br_case *c,
	bool (*fits)(const struct br_case *c, const struct br_why_server *s));
bool br_sees_nobody_there(struct br_case *c);

bool br_sees_reboot_loop(struct br_case *c);
bool br_sees_kernel_silent(struct br_case *c);
bool br_sees_rarp(struct br_case *c);
bool br_sees_offer_too_small(struct br_case *c);
bool br_sees_kernel_ignores(struct br_case *c);
bool br_sees_kernel_unheard(struct br_case *c);
bool br_sees_initramfs_silent(struct br_case *c);
bool br_sees_kernel_no_rpc(struct br_case *c);
bool br_sees_wrong_nfs_server(struct br_case *c);
bool br_sees_port_closed(struct br_case *c);
bool br_sees_no_such_port(struct br_case *c);
bool br_sees_old_nfs(struct br_case *c);
bool br_sees_nfs4(struct br_case *c);
bool br_sees_mnt_refused(struct br_case *c);
bool br_sees_mnt_nowhere(struct br_case *c);
bool br_sees_rpc_denied(struct br_case *c);
bool br_sees_stale(struct br_case *c);
bool br_sees_read_only(struct br_case *c);
bool br_sees_no_init(struct br_case *c);
bool br_sees_denied(struct br_case *c);
bool br_sees_small_reads(struct br_case *c);
bool br_sees_disk_full(struct br_case *c);
bool br_sees_image_changed(struct br_case *c);
bool br_sees_usb_failed(struct br_case *c);
bool br_sees_io(struct br_case *c);
bool br_sees_os_reset_network(struct br_case *c);
bool br_sees_other_address(struct br_case *c);
bool br_sees_rival(struct br_case *c);
bool br_sees_root_silent(struct br_case *c);
bool br_sees_slow_boot(struct br_case *c);
bool br_sees_web_no_sig(struct br_case *c);
bool br_sees_web_sig_refused(struct br_case *c);
bool br_sees_web_image_refused(struct br_case *c);
bool br_sees_web_tls(struct br_case *c);
bool br_sees_web_hung_up(struct br_case *c);
bool br_sees_dns_dead(struct br_case *c);
bool br_sees_booted_local(struct br_case *c);
/* flashes.c */
bool br_sees_flash_not_asked(struct br_case *c);
bool br_sees_flash_bad_card(struct br_case *c);
bool br_sees_flash_small(struct br_case *c);
bool br_sees_flash_no_image(struct br_case *c);
bool br_sees_flash_unfetched(struct br_case *c);
bool br_sees_flash_failed(struct br_case *c);
bool br_sees_flash_often(struct br_case *c);
bool br_sees_flash_stopped(struct br_case *c);
bool br_sees_flash_silent(struct br_case *c);
bool br_sees_flash_waits(struct br_case *c);
bool br_sees_flash_goes_on(struct br_case *c);
