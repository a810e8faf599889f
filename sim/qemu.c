/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting QEMU. Kernel, initramfs and device tree are handed over as memory files and
 * everything else as sockets made here, so that nothing is left on disk however this
 * ends; PR_SET_PDEATHSIG takes QEMU along when we are killed.
 */
#include "sim/qemu.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/text.h"
#include "sim/fdt.h"

#define QEMU	   "qemu-system-aarch64"
#define ARGS_MAX   64
#define STOP_NS	   (2 * BR_S)
#define WORDS_MAX  600
#define VIRT_MIB   1024

/*
 * An emulated core is many times slower than a Pi's, and on a busy machine udev took
 * longer than systemd's 90 seconds to find the console: no login prompt then.
 */
#define PATIENCE "systemd.default_timeout_start_sec=900"

static const struct machine {
	const char *name;
	const char *extra; /* what the kernel needs to be told here */
} raspi3b = { "raspi3b", "earlycon=pl011,0x3f201000 maxcpus=1 " PATIENCE }, virt = { "virt", "earlycon " PATIENCE };

static const struct machine *machine_of(const struct br_sim_model *m)
{
	return m->guid < 4 ? &raspi3b : &virt;
}

const char *br_sim_qemu_machine(const struct br_sim_model *m)
{
	return machine_of(m)->name;
}

/*
 * The kernel's name of the console. On raspi3b that is the PL011, not the mini UART that
 * firmware takes: QEMU's mini UART has no divisor latch, so that setting the speed sends
 * a stray byte and overwrites its interrupt enables. The number of the PL011 depends on
 * the device tree's aliases.
 */
static void console_name(const struct br_sim_qemu_config *c, char *out, size_t size)
{
	const struct br_sim_blob *dtb = &c->hand->dtb;
	unsigned found = 0;

	for (unsigned i = 0; machine_of(c->model) == &raspi3b && i < 4; i++) {
		char alias[16];
		size_t n = 0;
		const uint8_t *v;

		snprintf(alias, sizeof(alias), "serial%u", i);
		v = br_sim_fdt_prop(dtb->data, dtb->len, "aliases", alias, &n);
		if (v && memmem(v, n, "serial@7e201000", strlen("serial@7e201000")))
			found = i;
	}
	snprintf(out, size, "ttyAMA%u", found);
}

/*
 * serial0 becomes the UART of this machine, as firmware does it. It is also named last,
 * so that /dev/console is the UART: this board has no screen.
 */
char *br_sim_qemu_cmdline(const struct br_sim_qemu_config *c)
{
	struct br_text t = BR_TEXT_NULL;
	const char *line = c->hand->cmdline ? c->hand->cmdline : "";
	char console[24];

	console_name(c, console, sizeof(console));
	for (const char *s = line; *s;) {
		const char *at = strstr(s, "console=serial0");

		if (!at) {
			br_text_add(&t, s);
			break;
		}
		br_text_add_bytes(&t, s, (size_t)(at - s));
		br_text_addf(&t, "console=%s", console);
		s = at + strlen("console=serial0");
	}
	br_text_addf(&t, " console=%s,115200 %s", console, machine_of(c->model)->extra);
	if (c->append && *c->append)
		br_text_addf(&t, " %s", c->append);
	return br_text_take(&t);
}

#define CTRL_A 1 /* QEMU's own key on a multiplexed console */

struct args {
	char *v[ARGS_MAX + 1];
	size_t n;
	bool failed;
};

static void args_done(struct args *a)
{
	for (size_t i = 0; i < a->n; i++)
		free(a->v[i]);
}

__attribute__((format(printf, 2, 3))) static void arg(struct args *a, const char *fmt, ...)
{
	struct br_text t = BR_TEXT_NULL;
	va_list ap;

	if (a->n == ARGS_MAX) {
		a->failed = true;
		return;
	}
	va_start(ap, fmt);
	br_text_addv(&t, fmt, ap);
	va_end(ap);
	a->v[a->n] = br_text_take(&t);
	if (a->v[a->n])
		a->n++;
	else
		a->failed = true;
}

/* Words separated by single spaces, none of them from outside. */
static void words(struct args *a, const char *text)
{
	for (const char *s = text; *s;) {
		size_t n = strcspn(s, " ");

		arg(a, "%.*s", (int)n, s);
		s += n + (s[n] == ' ');
	}
}

/* Files and sockets that the child inherits. */
struct handed {
	int kernel_fd, initramfs_fd, dtb_fd, console_fd, net_fd;
};

static void handed_done(struct handed *h)
{
	int *all[] = { &h->kernel_fd, &h->initramfs_fd, &h->dtb_fd, &h->console_fd, &h->net_fd };

	for (size_t i = 0; i < BR_ARRAY_SIZE(all); i++)
		br_closep(all[i]);
}

/* Not close-on-exec: the child opens it by number. */
static int memory_file(const char *name, const struct br_sim_blob *b, struct br_error *err)
{
	br_cleanup(br_closep) int fd = memfd_create(name, 0);
	int r = fd < 0 ? -errno : br_write_all(fd, b->data, b->len);

	if (r < 0)
		return br_error_set(err, -r, "cannot hand %s (%zu bytes) to QEMU: %s", name, b->len, strerror(-r));
	return br_take_fd(fd);
}

/* Without Bluetooth, which has the PL011 on a real board and would keep it from being a terminal. */
static int make_dtb(const struct br_sim_blob *dtb, struct br_error *err)
{
	br_cleanup(br_freep) uint8_t *copy = malloc(dtb->len + 1);

	if (!dtb->len)
		return br_error_set(err, ENOENT, "no device tree came from the server: QEMU's raspi3b cannot start Linux");
	if (!copy)
		return br_error_set(err, ENOMEM, "out of memory");
	memcpy(copy, dtb->data, dtb->len);
	br_sim_fdt_remove(copy, dtb->len, "bluetooth");
	return memory_file("device tree", &(struct br_sim_blob){ copy, dtb->len }, err);
}

static int make_files(const struct br_sim_qemu_config *c, struct handed *h, struct br_error *err)
{
	const struct br_sim_handover *d = c->hand;

	h->kernel_fd = memory_file("kernel", &d->kernel, err);
	if (h->kernel_fd < 0)
		return h->kernel_fd;
	if (d->initramfs.len) {
		h->initramfs_fd = memory_file("initramfs", &d->initramfs, err);
		if (h->initramfs_fd < 0)
			return h->initramfs_fd;
	}
	if (machine_of(c->model) == &raspi3b) {
		h->dtb_fd = make_dtb(&d->dtb, err);
		if (h->dtb_fd < 0)
			return h->dtb_fd;
	}
	return 0;
}

static int pair(int type, int *ret_ours, int *ret_theirs, struct br_error *err)
{
	int fd[2], room = 1 << 20;

	if (socketpair(AF_UNIX, type, 0, fd) < 0)
		return br_error_set(err, errno, "cannot make a socket pair: %m");
	fcntl(fd[0], F_SETFD, FD_CLOEXEC);
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	for (int i = 0; i < 2; i++)
		setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	*ret_ours = fd[0];
	*ret_theirs = fd[1];
	return 0;
}

/* It prints "U-Boot 2023.01 ..." first, and has these words in its image. */
static bool is_uboot(const struct br_sim_blob *kernel)
{
	return kernel->len && memmem(kernel->data, kernel->len, "U-Boot 20", strlen("U-Boot 20"));
}

/* A comma ends a value, two of them are one. */
static void sd_card(const char *file, struct args *a)
{
	struct br_text t = BR_TEXT_NULL;

	br_text_add(&t, "");
	for (const char *s = file; *s; s++)
		br_text_add(&t, *s == ',' ? ",," : (char[]){ *s, 0 });
	arg(a, "-drive");
	arg(a, "if=sd,format=raw,file=%s", t.buf ? t.buf : "");
	a->failed |= t.failed;
	br_text_done(&t);
}

/* U-Boot takes the UART that the device tree says, which is the mini UART, and the system that it starts may take the other:
 * both are the console. */
static bool has_two_ports(const struct br_sim_qemu_config *c)
{
	return machine_of(c->model) == &raspi3b && is_uboot(&c->hand->kernel);
}

static void serial_ports(const struct br_sim_qemu_config *c, const struct handed *h, struct args *a)
{
	bool both = has_two_ports(c);

	arg(a, "-chardev");
	arg(a, "socket,id=c0,fd=%d%s", h->console_fd, both ? ",mux=on" : "");
	words(a, both ? "-serial chardev:c0 -serial chardev:c0" : "-serial chardev:c0");
}

static void compose(const struct br_sim_qemu_config *c, const struct handed *h, struct args *a)
{
	br_cleanup(br_freep) char *cmdline = br_sim_qemu_cmdline(c);
	char mac[BR_MAC_TEXT];

	words(a, QEMU " -display none -no-reboot -nodefaults -monitor none");
	if (machine_of(c->model) == &raspi3b) {
		/* cores 1 to 3 spin before Linux takes them and eat the host's: none of them */
		words(a, "-M raspi3b -global bcm2837.enabled-cpus=1");
		arg(a, "-chardev");
		arg(a, "socket,id=u0,fd=%d", h->net_fd);
		words(a, "-device usb-redir,chardev=u0,bus=usb-bus.0,port=1");
		if (c->card)
			sd_card(c->card, a);
	} else {
		words(a, "-M virt -cpu cortex-a72 -smp 1 -m");
		arg(a, "%u", c->memory_mib ? c->memory_mib : VIRT_MIB);
		arg(a, "-netdev");
		arg(a, "dgram,id=n0,local.type=fd,local.str=%d", h->net_fd);
		arg(a, "-device");
		arg(a, "virtio-net-pci,netdev=n0,romfile=,mac=%s", br_mac_format(mac, c->mac));
	}
	serial_ports(c, h, a);
	arg(a, "-kernel");
	arg(a, "/dev/fd/%d", h->kernel_fd);
	if (h->initramfs_fd >= 0) {
		arg(a, "-initrd");
		arg(a, "/dev/fd/%d", h->initramfs_fd);
	}
	if (h->dtb_fd >= 0) {
		arg(a, "-dtb");
		arg(a, "/dev/fd/%d", h->dtb_fd);
	}
	arg(a, "-append");
	arg(a, "%s", cmdline ? cmdline : "");
}

int br_sim_qemu_find(struct br_error *err)
{
	const char *path = getenv("PATH");
	br_cleanup(br_freep) char *copy = strdup(path ? path : "/usr/bin");
	char *save = NULL;

	for (char *d = copy ? strtok_r(copy, ":", &save) : NULL; d; d = strtok_r(NULL, ":", &save)) {
		br_cleanup(br_freep) char *file = br_path_join(d, QEMU);

		if (file && access(file, X_OK) == 0)
			return 0;
	}
	return br_error_set(err, ENOENT, QEMU ": not found; install Debian's package qemu-system-arm");
}

static void child(struct args *a, int words_fd, pid_t parent)
{
	int null_fd = open("/dev/null", O_RDWR);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127); /* it went before the line above */
	setpgid(0, 0);	    /* an interrupt from the keyboard is ours to handle */
	dup2(null_fd, STDIN_FILENO);
	dup2(words_fd, STDOUT_FILENO);
	dup2(words_fd, STDERR_FILENO);
	execvp(a->v[0], a->v);
	dprintf(STDERR_FILENO, "cannot start: %m");
	_exit(127);
}

static int launch(const struct br_sim_qemu_config *c, const struct handed *h, struct br_sim_qemu *q, struct br_error *err)
{
	struct args a = { 0 };
	pid_t parent = getpid();
	int r = 0;

	compose(c, h, &a);
	q->words_fd = memfd_create("words", MFD_CLOEXEC);
	if (a.failed || q->words_fd < 0)
		r = br_error_set(err, ENOMEM, QEMU ": out of memory");
	if (!r) {
		q->pid = fork();
		if (!q->pid)
			child(&a, q->words_fd, parent);
		if (q->pid < 0)
			r = br_error_set(err, errno, QEMU ": cannot start: %m");
	}
	args_done(&a);
	return r;
}

int br_sim_qemu_start(const struct br_sim_qemu_config *c, struct br_sim_qemu *ret, struct br_error *err)
{
	struct handed h = { -1, -1, -1, -1, -1 };
	struct br_sim_qemu q = BR_SIM_QEMU_NULL;
	int r = br_sim_qemu_find(err);

	q.usb = machine_of(c->model) == &raspi3b;
	q.uboot = is_uboot(&c->hand->kernel);
	q.two_ports = has_two_ports(c);
	if (!r)
		r = make_files(c, &h, err);
	if (!r)
		r = pair(SOCK_STREAM, &q.console_fd, &h.console_fd, err);
	if (!r)
		r = pair(q.usb ? SOCK_STREAM : SOCK_DGRAM, &q.net_fd, &h.net_fd, err);
	if (!r)
		r = launch(c, &h, &q, err);
	handed_done(&h);
	if (r < 0) {
		br_sim_qemu_stop(&q);
		return r;
	}
	*ret = q;
	return 0;
}

bool br_sim_qemu_ended(struct br_sim_qemu *q, int *ret_status)
{
	if (q->pid <= 0 || waitpid(q->pid, ret_status, WNOHANG) != q->pid)
		return false;
	q->pid = -1;
	return true;
}

/* Of two ports QEMU's multiplexer gives the keys to one; Ctrl-A c makes it the other, Ctrl-A Ctrl-A is a Ctrl-A. */
void br_sim_qemu_type(struct br_sim_qemu *q, const char *keys, size_t n)
{
	struct br_text t = BR_TEXT_NULL;

	if (q->console_fd < 0 || !n)
		return;
	if (!q->two_ports)
		br_text_add_bytes(&t, keys, n);
	for (int port = 0; q->two_ports && port < 2; port++) {
		for (size_t i = 0; i < n; i++)
			br_text_add_bytes(&t, (char[]){ keys[i], CTRL_A }, keys[i] == CTRL_A ? 2 : 1);
		br_text_add_bytes(&t, (char[]){ CTRL_A, 'c' }, 2);
	}
	if (!t.failed)
		(void)!write(q->console_fd, t.buf, t.len);
	br_text_done(&t);
}

char *br_sim_qemu_words(const struct br_sim_qemu *q)
{
	struct br_text t = BR_TEXT_NULL;
	char buf[WORDS_MAX];
	off_t size = q->words_fd < 0 ? 0 : lseek(q->words_fd, 0, SEEK_END);
	off_t from = size > WORDS_MAX ? size - WORDS_MAX : 0;
	ssize_t n = size > 0 ? pread(q->words_fd, buf, sizeof(buf), from) : 0;

	while (n > 0 && strchr("\r\n ", buf[n - 1]))
		n--;
	br_text_add(&t, "");
	for (ssize_t i = 0; i < n; i++)
		if (buf[i] == '\n')
			br_text_add(&t, "; ");
		else
			br_text_add_vis(&t, &buf[i], 1);
	return br_text_take(&t);
}

void br_sim_qemu_stop(struct br_sim_qemu *q)
{
	uint64_t end = br_now_ns() + STOP_NS;
	int status;

	if (q->pid > 0) {
		kill(q->pid, SIGTERM);
		while (!br_sim_qemu_ended(q, &status) && br_now_ns() < end)
			usleep(10000);
	}
	if (q->pid > 0) {
		kill(q->pid, SIGKILL);
		waitpid(q->pid, &status, 0);
	}
	br_closep(&q->console_fd);
	if (q->net_fd >= 0)
		close(q->net_fd);
	br_closep(&q->words_fd);
	*q = BR_SIM_QEMU_NULL;
}
