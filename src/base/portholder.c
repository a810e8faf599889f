/* SPDX-License-Identifier: Apache-2.0 */
/* Which process has a UDP port: /proc/net/udp for the socket, /proc/PID/fd for its owner. */
#include "base/portholder.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/text.h"

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Inode of the first socket bound to the port, 0 when there is none in this table. */
static unsigned long inode_in(const char *table, uint16_t port)
{
	br_cleanup(br_fclosep) FILE *f = fopen(table, "re");
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		unsigned local;
		unsigned long inode;

		if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %*x %*x:%*x %*x:%*x %*x %*u %*u %lu", &local,
			    &inode) == 2 &&
			local == port)
			return inode;
	}
	return 0;
}

static bool has_socket(const char *pid, unsigned long inode)
{
	char path[300], want[40], link[64];
	br_cleanup(closedirp) DIR *d = NULL;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	snprintf(want, sizeof(want), "socket:[%lu]", inode);
	d = opendir(path);
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		if (n < 0)
			continue;
		link[n] = 0;
		if (!strcmp(link, want))
			return true;
	}
	return false;
}

static void read_line(const char *path, char *out, size_t size)
{
	br_cleanup(br_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, out, size - 1) : 0;

	out[n > 0 ? n : 0] = 0;
	out[strcspn(out, "\n")] = 0;
}

static void describe(const char *pid, char *out)
{
	char path[300], name[32], vis[24];

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	read_line(path, name, sizeof(name));
	snprintf(out, BR_PORT_HOLDER, "%s (process %.10s)", name[0] ? br_vis(vis, sizeof(vis), name, strlen(name)) : "?",
		pid);
}

bool br_port_holder(bool tcp, uint16_t port, char out[static BR_PORT_HOLDER])
{
	unsigned long inode = inode_in(tcp ? "/proc/net/tcp" : "/proc/net/udp", port);
	br_cleanup(closedirp) DIR *d = NULL;

	out[0] = 0;
	if (!inode)
		inode = inode_in(tcp ? "/proc/net/tcp6" : "/proc/net/udp6", port);
	if (!inode)
		return false;
	d = opendir("/proc");
	for (struct dirent *e = d ? readdir(d) : NULL; e; e = readdir(d)) {
		if (!isdigit((unsigned char)e->d_name[0]) || !has_socket(e->d_name, inode))
			continue;
		describe(e->d_name, out);
		return true;
	}
	return false;
}

bool br_udp_port_holder(uint16_t port, char out[static BR_PORT_HOLDER])
{
	return br_port_holder(false, port, out);
}
