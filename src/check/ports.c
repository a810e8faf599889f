/* SPDX-License-Identifier: Apache-2.0 */
/* The ports that boards come to: who has them, and what was lost at those that are ours. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/portholder.h"
#include "base/text.h"
#include "check/check.h"

static const struct port {
	bool tcp;
	unsigned number;
	enum br_severity severity;
	const char *what, *why;
} ports[] = {
	{ false, 67, BR_CHECK_ERROR, "DHCP", "no board gets an address, or is told where to boot from" },
	{ false, 69, BR_CHECK_ERROR, "TFTP", "no board gets its boot files" },
	{ true, 80, BR_CHECK_NOTE, "HTTP", "boards of order 7 (HTTP boot), UEFI and iPXE get no files; 'http-port = N' gives them another port" },
	{ false, 111, BR_CHECK_WARNING, "portmap", "boards without an initramfs ask there for NFS" },
	{ true, 2049, BR_CHECK_ERROR, "NFS", "no board gets its root file system" },
	{ true, 20048, BR_CHECK_WARNING, "MOUNT", "boards cannot mount their roots" },
	{ false, 514, BR_CHECK_NOTE, "syslog", "boards' log lines go to that program instead" },
	{ false, 6666, BR_CHECK_NOTE, "netconsole", "words of boot loaders and kernels go to that program instead" },
	{ true, 8480, BR_CHECK_WARNING, "the web page", "neither page nor API answer on the network" },
};

/* Programs that sit on these ports, and how to make them leave. */
static const struct {
	const char *program, *cure;
} holders[] = {
	{ "dnsmasq", "systemctl disable --now dnsmasq    # 'bramble import /' takes its boards over first" },
	{ "dhcpd", "systemctl disable --now isc-dhcp-server    # 'bramble import /' takes its boards over first" },
	{ "kea-dhcp4", "systemctl disable --now kea-dhcp4-server" },
	{ "systemd-network", "in the .network file of the interface: DHCPServer=no" },
	{ "in.tftpd", "systemctl disable --now tftpd-hpa" },
	{ "atftpd", "systemctl disable --now atftpd" },
	{ "inetd", "take the line 'tftp' out of /etc/inetd.conf; systemctl restart inetd" },
	{ "apache2", "http-port = 8080    # in bramble.conf" },
	{ "nginx", "http-port = 8080    # in bramble.conf" },
	{ "rsyslogd", "take imudp out of /etc/rsyslog.conf; systemctl restart rsyslog" },
	{ "rpc.mountd", "systemctl disable --now nfs-server" },
	{ "ganesha.nfsd", "systemctl disable --now nfs-ganesha" },
};

static const char *cure_for(const char *holder)
{
	for (size_t i = 0; i < BR_ARRAY_SIZE(holders); i++)
		if (br_str_starts(holder, holders[i].program))
			return holders[i].cure;
	return NULL;
}

/* Sums a column over the sockets bound to the port; false: there is none. */
static bool find_port(const struct br_checks *c, bool tcp, unsigned port, uint64_t *ret_drops)
{
	static const char *const tables[2][2] = { { "/proc/net/udp", "/proc/net/udp6" }, { "/proc/net/tcp", "/proc/net/tcp6" } };
	bool found = false;

	*ret_drops = 0;
	for (size_t i = 0; i < 2; i++) {
		br_cleanup(br_freep) char *path = br_asprintf("%s%s", c->root, tables[tcp][i]);
		br_cleanup(br_fclosep) FILE *f = path ? fopen(path, "re") : NULL;
		char line[512];

		while (f && fgets(line, sizeof(line), f)) {
			unsigned local, state;
			unsigned long drops = 0;
			int n = sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*x:%*x %*x:%*x %*x %*u %*u %*u %*u %*x %lu", &local, &state, &drops);

			if (n < 2 || local != port || (tcp && state != 10)) /* 10: it listens */
				continue;
			found = true;
			*ret_drops += tcp || n < 3 ? 0 : drops;
		}
	}
	return found;
}

void br_check_ports(struct br_checks *c)
{
	unsigned ours = 0, others = 0;

	for (size_t i = 0; i < BR_ARRAY_SIZE(ports); i++) {
		const struct port *p = &ports[i];
		char holder[BR_PORT_HOLDER] = "";
		uint64_t drops;
		const char *cure;

		if (!find_port(c, p->tcp, p->number, &drops))
			continue;
		if (!c->root[0])
			(void)br_port_holder(p->tcp, (uint16_t)p->number, holder);
		if (br_str_starts(holder, "bramble ") || (!holder[0] && c->status && p->number != 2049)) {
			ours++;
			continue;
		}
		if (p->number == 111 && br_str_starts(holder, "rpcbind"))
			continue; /* bramble tells it where NFS is */
		others++;
		cure = holder[0] ? cure_for(holder) : p->number == 2049 ? "systemctl disable --now nfs-server" : "ss -lunp; ss -ltnp    # as root: shows who it is";
		br_check_add(c, p->severity, "port", p->why, cure, "%s port %u (%s) is taken%s%s", p->tcp ? "TCP" : "UDP", p->number, p->what,
			holder[0] ? " by " : p->number == 2049 ? " by the kernel's NFS server, it seems" : ", by whom only root can see", holder);
	}
	if (!others)
		br_check_add(c, BR_CHECK_OK, "port", "boards come to 67, 69, 80, 111, 514, 2049 and 20048", NULL, ours ? "the ports are ours" : "the ports are free");
}

void br_check_drops(struct br_checks *c)
{
	for (size_t i = 0; c->status && i < BR_ARRAY_SIZE(ports); i++) {
		uint64_t drops;

		if (!ports[i].tcp && find_port(c, false, ports[i].number, &drops) && drops)
			br_check_add(c, BR_CHECK_WARNING, "drops", "what is lost there boards ask for again, seconds later, or never",
				"sysctl -w net.core.rmem_max=67108864    # and restart bramble", "%llu packets to UDP port %u (%s) were lost: its buffer was full",
				(unsigned long long)drops, ports[i].number, ports[i].what);
	}
}
