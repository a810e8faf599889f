/* SPDX-License-Identifier: Apache-2.0 */
/* What the rules look for once the kernel was sent: its root, the system on it; and boot files by HTTP. */
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "why/symptoms.h"

/* ---- kernel and root ------------------------------------------------------------------------------------------ */

bool br_sees_reboot_loop(struct br_case *c)
{
	uint64_t last = c->f->born_ns;

	c->n = 1;
	for (unsigned i = 0; i < c->f->n_lives; i++) {
		const struct br_why_life *l = &c->f->lives[i];

		if (l->reached != BR_WHY_KERNEL || last - l->start_ns > 600 * BR_S)
			break;
		c->ns = last - l->start_ns;
		last = l->start_ns;
		c->n++;
	}
	return c->n >= 3;
}

static const struct br_why_file *kernel_sent(const struct br_case *c)
{
	for (size_t i = 0; i < BR_WHY_FILES; i++)
		if (br_why_is_kernel(c->f->files[i].name) && c->f->files[i].n_sent)
			return &c->f->files[i];
	return NULL;
}

static bool kernel_speaks(const struct br_case *c)
{
	return c->f->dhcp[BR_DHCP_KERNEL].discover.n || c->f->dhcp[BR_DHCP_INITRAMFS].discover.n ||
	       c->f->dhcp[BR_DHCP_OS].discover.n || c->f->dhcp[BR_DHCP_OS].request.n;
}

bool br_sees_kernel_silent(struct br_case *c)
{
	const struct br_why_file *k = kernel_sent(c);

	if (!k || kernel_speaks(c))
		return false;
	c->file = k->name;
	c->ns = br_case_age(c, k->done_ns > c->f->last_ns ? k->done_ns : c->f->last_ns);
	return c->ns > 30 * BR_S;
}

bool br_sees_rarp(struct br_case *c)
{
	c->n = c->f->rarp.n;
	return c->n >= 2 && !c->f->dhcp[BR_DHCP_KERNEL].acked.n;
}

static bool kernel_asks(struct br_case *c, bool offered)
{
	for (size_t k = BR_DHCP_KERNEL; k <= BR_DHCP_INITRAMFS; k++) {
		c->n = c->f->dhcp[k].discover.n;
		if (c->n >= 3 && !c->f->dhcp[k].request.n && (c->f->dhcp[k].offered.n > 0) == offered)
			return true;
	}
	return false;
}

static bool small(const struct br_case *c, const struct br_why_server *s)
{
	return s->small;
}

bool br_sees_offer_too_small(struct br_case *c)
{
	const struct br_why_server *s = br_case_server(c, small);

	c->ip = s ? s->ip : 0;
	return s && kernel_asks(c, true);
}

bool br_sees_kernel_ignores(struct br_case *c)
{
	return kernel_asks(c, true);
}

bool br_sees_kernel_unheard(struct br_case *c)
{
	return kernel_asks(c, false);
}

static unsigned rpc_calls(const struct br_case *c)
{
	unsigned n = c->f->mnt.n;

	for (size_t i = 0; i < BR_WHY_PORTS; i++)
		n += c->f->ports[i].syn.n;
	return n;
}

static bool mounted(const struct br_case *c)
{
	return c->at >= BR_AT_ROOT;
}

/* When a client had its address: a confirmation by another server may go to the board alone, unseen here. */
static uint64_t addressed(const struct br_case *c, enum br_dhcp_client_kind k)
{
	uint64_t acked = c->f->dhcp[k].acked.last_ns, asked = c->f->dhcp[k].request.last_ns;

	return acked > asked ? acked : asked;
}

bool br_sees_initramfs_silent(struct br_case *c)
{
	c->ns = br_case_age(c, addressed(c, BR_DHCP_INITRAMFS));
	return !rpc_calls(c) && c->ns > 20 * BR_S;
}

bool br_sees_kernel_no_rpc(struct br_case *c)
{
	c->ns = br_case_age(c, addressed(c, BR_DHCP_KERNEL));
	return !rpc_calls(c) && !c->f->dhcp[BR_DHCP_INITRAMFS].discover.n && c->ns > 35 * BR_S;
}

bool br_sees_wrong_nfs_server(struct br_case *c)
{
	return kernel_speaks(c) && !rpc_calls(c) && br_sees_nobody_there(c);
}

bool br_sees_port_closed(struct br_case *c)
{
	for (size_t i = 0; i < BR_WHY_PORTS; i++) {
		const struct br_why_port *p = &c->f->ports[i];

		c->ip = p->ip;
		c->n = p->port;
		if (p->refused.last_ns > p->open.last_ns && br_case_age(c, p->refused.last_ns) < 60 * BR_S)
			return true;
		if (p->syn.n >= 3 && !p->open.n && !p->refused.n && br_case_age(c, p->syn.first_ns) > 3 * BR_S)
			return true;
	}
	return false;
}

bool br_sees_no_such_port(struct br_case *c)
{
	c->n = c->f->no_port_program;
	c->ip2 = c->f->no_port_version;
	c->words = c->n == 100005 ? "MOUNT" : c->n == 100003 ? "NFS" : "the program";
	return c->f->no_port.n > 0;
}

bool br_sees_old_nfs(struct br_case *c)
{
	c->words = c->in->refused_words;
	if (c->f->mnt.n && c->f->mnt_version < 3)
		return true;
	return br_str_starts(c->words, "NFS version 2") || br_str_starts(c->words, "MOUNT version ");
}

bool br_sees_nfs4(struct br_case *c)
{
	c->words = c->in->refused_words;
	return br_str_starts(c->words, "NFS version 4");
}

static bool mnt_says(struct br_case *c, uint32_t a, uint32_t b)
{
	c->file = c->f->mnt_path;
	c->words = c->in->refused_words[0] ? c->in->refused_words : "the server gave no reason";
	return c->f->mnt_answered && (c->f->mnt_status == a || c->f->mnt_status == b);
}

bool br_sees_mnt_refused(struct br_case *c)
{
	if (mnt_says(c, 13, 1))
		return true;
	c->file = c->in->refused_path;
	return c->in->mount_refused.n && !c->f->mnt_answered;
}

bool br_sees_mnt_nowhere(struct br_case *c)
{
	return mnt_says(c, 2, 20);
}

bool br_sees_rpc_denied(struct br_case *c)
{
	uint32_t how = c->f->rpc_denied_how;

	c->words = how >= 16 ? "security flavour" : how == 2 ? "version" : "program";
	return c->f->rpc_denied.n && c->f->rpc_denied.last_ns >= c->f->mounted.last_ns;
}

/* Told by the NFS server itself: its traffic is too much to be looked at on the wire. */
static bool trouble(struct br_case *c, enum br_nfs_trouble what)
{
	const struct br_why_span *s = &c->in->trouble[what];

	c->n = s->n;
	c->ns = br_case_age(c, s->last_ns);
	return s->n != 0;
}

bool br_sees_stale(struct br_case *c)
{
	return trouble(c, BR_NFS_TROUBLE_STALE);
}

bool br_sees_read_only(struct br_case *c)
{
	return trouble(c, BR_NFS_TROUBLE_READ_ONLY);
}

/* A system that came up after all had another init. */
bool br_sees_no_init(struct br_case *c)
{
	return trouble(c, BR_NFS_TROUBLE_NO_INIT) && c->ns > 5 * BR_S;
}

bool br_sees_denied(struct br_case *c)
{
	return trouble(c, BR_NFS_TROUBLE_DENIED) && c->ns > 5 * BR_S;
}

bool br_sees_small_reads(struct br_case *c)
{
	return trouble(c, BR_NFS_TROUBLE_SMALL_READS);
}

bool br_sees_disk_full(struct br_case *c)
{
	c->words = c->in->disk_full_words[0] ? c->in->disk_full_words : "no reason given";
	/* said again every ten seconds while writes fail; who stopped writing has room again, or gave up */
	return c->in->disk_full_ns && br_case_age(c, c->in->disk_full_ns) < 300 * BR_S;
}

bool br_sees_image_changed(struct br_case *c)
{
	c->words = c->in->image_words;
	return c->in->image_words[0] != 0;
}

/* Until it is heard on the network again, or comes to a port again. */
bool br_sees_usb_failed(struct br_case *c)
{
	c->words = c->in->usb_words[0] ? c->in->usb_words : "no reason given";
	return c->in->usb_failed_ns && (!c->in->heard || c->in->usb_failed_ns > c->f->last_ns);
}

bool br_sees_io(struct br_case *c)
{
	return trouble(c, BR_NFS_TROUBLE_IO) && c->ns < 300 * BR_S;
}

bool br_sees_os_reset_network(struct br_case *c)
{
	uint64_t asked = c->f->dhcp[BR_DHCP_OS].discover.last_ns;

	if (c->f->dhcp[BR_DHCP_OS].request.last_ns > asked)
		asked = c->f->dhcp[BR_DHCP_OS].request.last_ns;
	c->n = c->f->we_ask.n;
	return mounted(c) && asked && c->n >= 3 && c->f->we_ask.first_ns > asked && c->f->we_ask.first_ns - asked < 60 * BR_S;
}

bool br_sees_other_address(struct br_case *c)
{
	c->ip = c->f->dhcp[BR_DHCP_KERNEL].ip ? c->f->dhcp[BR_DHCP_KERNEL].ip : c->f->dhcp[BR_DHCP_INITRAMFS].ip;
	c->ip2 = c->f->dhcp[BR_DHCP_OS].ip;
	return c->ip && c->ip2 && c->ip != c->ip2;
}

bool br_sees_rival(struct br_case *c)
{
	c->mac = c->f->rival;
	c->ip = c->f->ip;
	return !br_mac_is_zero(c->mac);
}

bool br_sees_root_silent(struct br_case *c)
{
	c->n = c->f->we_ask.n;
	return c->n >= 3 && mounted(c);
}

bool br_sees_slow_boot(struct br_case *c)
{
	c->ns = br_case_age(c, c->in->mounted_ns ? c->in->mounted_ns : c->f->mounted.first_ns);
	return c->ns > 120 * BR_S;
}

/* ---- HTTP, other ---------------------------------------------------------------------------------------------- */

bool br_sees_web_no_sig(struct br_case *c)
{
	const struct br_why_web *w = &c->f->web[BR_WHY_HTTP_SIG];

	c->file = w->path;
	return w->get.n + w->head.n && w->status == 404 && !c->f->web[BR_WHY_HTTP_IMG].get.n;
}

bool br_sees_web_sig_refused(struct br_case *c)
{
	const struct br_why_web *w = &c->f->web[BR_WHY_HTTP_SIG];

	c->file = w->path;
	return w->get.n && w->status == 200 && !c->f->web[BR_WHY_HTTP_IMG].get.n &&
	       br_case_age(c, w->answered_ns) > 10 * BR_S;
}

bool br_sees_web_image_refused(struct br_case *c)
{
	const struct br_why_web *w = &c->f->web[BR_WHY_HTTP_IMG];
	uint64_t asked = c->f->dhcp[BR_DHCP_EEPROM].discover.last_ns;

	c->file = w->path;
	c->n = w->get.n;
	return w->get.n && w->status / 100 == 2 && (asked > w->answered_ns || w->get.n >= 3);
}

bool br_sees_web_tls(struct br_case *c)
{
	return c->f->tls.n && c->f->tls_alert.n;
}

bool br_sees_web_hung_up(struct br_case *c)
{
	return c->f->web_hung_up.n && br_case_age(c, c->f->web_hung_up.first_ns) > 5 * BR_S;
}

bool br_sees_dns_dead(struct br_case *c)
{
	c->n = c->f->dns.n;
	return c->n >= 3 && !c->f->dns_answer.n;
}

bool br_sees_booted_local(struct br_case *c)
{
	const struct br_why_span *os = &c->f->dhcp[BR_DHCP_OS].request;
	enum br_dhcp_client_kind k = br_case_firmware(c);

	return k != BR_DHCP_OTHER && os->n + c->f->dhcp[BR_DHCP_OS].discover.n && !mounted(c) && !c->in->local &&
	       !c->f->dhcp[BR_DHCP_KERNEL].discover.n && !c->f->dhcp[BR_DHCP_INITRAMFS].discover.n &&
	       !kernel_sent(c);
}
