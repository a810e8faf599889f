/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/error.h"
#include "sim/board.h"

/* A QEMU process that goes on where the firmware of a virtual board ends. */
struct br_sim_qemu_config {
	const struct br_sim_model *model;
	struct br_mac mac;
	const struct br_sim_handover *hand;
	unsigned memory_mib;  /* 0: the machine's default; raspi3b always has 1024 */
	const char *card;     /* file that is its SD card (raspi3b); NULL: none */
	const char *append;   /* more arguments for the kernel; NULL: none */
};

struct br_sim_qemu {
	pid_t pid;
	int console_fd; /* the board's serial console, both ways; -1 when closed */
	int net_fd;	/* one frame per datagram (virt), or the usbredir stream (raspi3b) */
	int words_fd;	/* a file with what QEMU said on stderr */
	bool usb;	/* net_fd is usbredir */
	bool two_ports;	/* console_fd is a multiplexer of both UARTs; br_sim_qemu_type() knows */
	bool uboot;	/* what was handed over is U-Boot, which has other wishes than Linux */
};

#define BR_SIM_QEMU_NULL ((struct br_sim_qemu){ .pid = -1, .console_fd = -1, .net_fd = -1, .words_fd = -1 })

/* "raspi3b" or "virt" */
const char *br_sim_qemu_machine(const struct br_sim_model *m);
/* The kernel's arguments in this machine: the firmware's, with the console that it has. Fresh memory; NULL: none left. */
char *br_sim_qemu_cmdline(const struct br_sim_qemu_config *c);
/* 0, or -ENOENT with the package's name when QEMU is missing. */
int br_sim_qemu_find(struct br_error *err);
/* The process dies with ours. */
int br_sim_qemu_start(const struct br_sim_qemu_config *c, struct br_sim_qemu *ret, struct br_error *err);
/* True when it has ended by itself; *ret_status as of wait(2). */
bool br_sim_qemu_ended(struct br_sim_qemu *q, int *ret_status);
/* Keys for its console. A serial line has no flow control: what QEMU does not take now is lost. */
void br_sim_qemu_type(struct br_sim_qemu *q, const char *keys, size_t n);
/* What it said last, for a message; "" when nothing. Fresh memory. */
char *br_sim_qemu_words(const struct br_sim_qemu *q);
/* Ends it (SIGTERM, then SIGKILL after two seconds) and closes all. */
void br_sim_qemu_stop(struct br_sim_qemu *q);
