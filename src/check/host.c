/* SPDX-License-Identifier: Apache-2.0 */
/* The machine: clock, room, limits, interface, kernel settings. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/netif.h"
#include "base/text.h"
#include "check/check.h"

#define YEAR_MIN 2024

void br_check_clock(struct br_checks *c)
{
	struct timex tx = { 0 };
	time_t now = time(NULL);
	struct tm tm;

	if (gmtime_r(&now, &tm) && tm.tm_year + 1900 < YEAR_MIN)
		br_check_add(c, BR_CHECK_ERROR, "clock", "boards take the time from their server's files and certificates: TLS, apt and make fail on them",
			"timedatectl set-ntp true", "the clock says %d", tm.tm_year + 1900);
	else if (adjtimex(&tx) == TIME_ERROR || (tx.status & STA_UNSYNC))
		br_check_add(c, BR_CHECK_WARNING, "clock", "events and logs of boards carry this clock's times; boards without an RTC start from it",
			"timedatectl set-ntp true    # or install chrony", "the clock is not synchronised");
	else
		br_check_add(c, BR_CHECK_OK, "clock", "events and logs of boards carry its times", NULL, "the clock is synchronised");
}

void br_check_room(struct br_checks *c)
{
	char room[16];
	struct statvfs st;
	uint64_t bytes;

	if (statvfs(c->state, &st) < 0) {
		br_check_add(c, BR_CHECK_NOTE, "room", "images, disks and the database live there; 'bramble serve' makes it", NULL, "there is no state directory %s yet",
			c->state);
		return;
	}
	bytes = (uint64_t)st.f_bavail * st.f_frsize;
	br_format_size(room, sizeof(room), bytes);
	if (bytes < 100ull << 20)
		br_check_add(c, BR_CHECK_ERROR, "room", "what boards write fails with 'no space left', and events are not stored",
			"bramble gc; bramble disk list    # then free some space", "state directory %s has %s left", c->state, room);
	else if (bytes < 2ull << 30 || st.f_bavail * 20 < st.f_blocks)
		br_check_add(c, BR_CHECK_WARNING, "room", "an image takes some gigabytes, and each board's changes come on top",
			"bramble gc; bramble disk list    # then free some space", "state directory %s has %s left", c->state, room);
	else
		br_check_add(c, BR_CHECK_OK, "room", "images and boards' changes go there", NULL, "state directory %s has %s left", c->state, room);
	if (st.f_files && st.f_favail * 100 < st.f_files)
		br_check_add(c, BR_CHECK_WARNING, "room", "no file can be made when they are used up, however much room there is", NULL,
			"state directory %s has %llu inodes left", c->state, (unsigned long long)st.f_favail);
	if (st.f_flag & ST_RDONLY)
		br_check_add(c, BR_CHECK_ERROR, "room", "nothing that boards write can be stored", "mount -o remount,rw ...", "state directory %s is on a read-only file system",
			c->state);
}

void br_check_files(struct br_checks *c)
{
	json_int_t pid = json_integer_value(json_object_get(c->status, "pid"));
	br_cleanup(br_freep) char *path = pid > 0 ? br_asprintf("%s/proc/%lld/limits", c->root, (long long)pid) : NULL;
	br_cleanup(br_fclosep) FILE *f = path ? fopen(path, "re") : NULL;
	struct rlimit lim;
	unsigned long long soft = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Max open files %llu", &soft) == 1)
			break;
	if (!soft && !getrlimit(RLIMIT_NOFILE, &lim))
		soft = lim.rlim_max; /* what a daemon that is started here raises it to */
	if (soft && soft < 4096)
		br_check_add(c, BR_CHECK_WARNING, "files", "each board's connection and disk takes some: from about a hundred boards on, mounts are refused",
			"LimitNOFILE=65536    # in a drop-in of the unit", "%llu files may be open at once", soft);
}

void br_check_interface(struct br_checks *c)
{
	struct br_netif netif;
	struct br_error err = BR_ERROR_NULL;
	char ip[BR_IP_TEXT];

	if (c->root[0])
		return;
	if (!c->interface[0]) {
		br_check_add(c, BR_CHECK_WARNING, "interface", "bramble does not know where the boards are", "interface = eth0    # in bramble.conf",
			"there is no default route, and no interface was named");
		return;
	}
	if (br_netif_info(c->interface, &netif, &err) < 0) {
		br_check_add(c, BR_CHECK_ERROR, "interface", "no board is reached", "ip link", "%s", err.text);
		return;
	}
	if (!netif.ethernet)
		br_check_add(c, BR_CHECK_ERROR, "interface", "boards boot over Ethernet", "interface = ...    # in bramble.conf", "%s is no Ethernet", c->interface);
	if (!netif.up)
		br_check_add(c, BR_CHECK_ERROR, "interface", "no board is reached", "ip link set INTERFACE up", "%s is down", c->interface);
	else if (!netif.carrier)
		br_check_add(c, BR_CHECK_WARNING, "interface", "no board is reached", "ethtool INTERFACE    # and the cable", "%s has no link", c->interface);
	if (!netif.ip)
		br_check_add(c, BR_CHECK_ERROR, "interface", "bramble cannot serve there, unless 'address =' gives it one", "address = 10.77.0.1/24    # in bramble.conf",
			"%s has no IPv4 address", c->interface);
	if (netif.mtu < 1500)
		br_check_add(c, BR_CHECK_WARNING, "interface", "TFTP blocks and NFS replies are fragmented, which boot ROMs do not put together",
			"ip link set INTERFACE mtu 1500", "%s has an MTU of %u", c->interface, netif.mtu);
	if (netif.mtu > 1500)
		br_check_add(c, BR_CHECK_NOTE, "interface", "boards take 1500 bytes at most; a switch that does not pass larger frames makes NFS hang",
			"ip link set INTERFACE mtu 1500", "%s has an MTU of %u", c->interface, netif.mtu);
	if (netif.ethernet && netif.up && netif.carrier && netif.ip && netif.mtu == 1500)
		br_check_add(c, BR_CHECK_OK, "interface", "boards are reached by it", NULL, "%s is up with %s/%u", c->interface, br_ip_format(ip, netif.ip),
			netif.prefix);
}

void br_check_neighbours(struct br_checks *c)
{
	int64_t room = br_check_number(c, "/proc/sys/net/ipv4/neigh/default/gc_thresh3");
	size_t boards = json_array_size(c->boards);

	if (room >= 0 && boards && (uint64_t)room < 2 * boards)
		br_check_add(c, BR_CHECK_WARNING, "neighbours", "packets to boards that have no place in the kernel's table are lost",
			"sysctl -w net.ipv4.neigh.default.gc_thresh3=16384 net.ipv4.neigh.default.gc_thresh2=8192", "the table of neighbours has room for %lld, and there are %zu boards",
			(long long)room, boards);
}

void br_check_reverse_path(struct br_checks *c)
{
	br_cleanup(br_freep) char *own = br_asprintf("/proc/sys/net/ipv4/conf/%s/rp_filter", c->interface);
	int64_t all = br_check_number(c, "/proc/sys/net/ipv4/conf/all/rp_filter"), one = own && c->interface[0] ? br_check_number(c, own) : -1;

	/* the larger of the two counts; 1 is strict */
	if ((all > one ? all : one) == 1)
		br_check_add(c, BR_CHECK_NOTE, "rp_filter", "packets of boards whose way back would leave by another interface are thrown away: boards behind relays, two "
			"interfaces in one network", "sysctl -w net.ipv4.conf.all.rp_filter=2", "the kernel checks reverse paths strictly");
}

void br_check_modules(struct br_checks *c)
{
	int64_t threads = br_check_number(c, "/proc/fs/nfsd/threads"), enforce = br_check_number(c, "/sys/fs/selinux/enforce");
	json_int_t pid = json_integer_value(json_object_get(c->status, "pid"));
	br_cleanup(br_freep) char *path = br_asprintf("/proc/%lld/attr/current", (long long)pid), *profile = NULL;

	if (threads > 0)
		br_check_add(c, BR_CHECK_ERROR, "kernel", "it has port 2049, and boards' roots are served from there", "systemctl disable --now nfs-server",
			"the kernel's NFS server runs with %lld threads", (long long)threads);
	if (enforce == 1)
		br_check_add(c, BR_CHECK_NOTE, "kernel", "a policy that does not know bramble may keep it from its ports and files",
			"ausearch -m avc -c bramble    # shows what was refused", "SELinux is enforcing");
	profile = path && pid > 0 ? br_check_read(c, path) : NULL;
	if (profile && profile[0] && !br_str_starts(profile, "unconfined") && strchr(profile, '('))
		br_check_add(c, BR_CHECK_NOTE, "kernel", "what the profile does not name is refused", "journalctl -k -g apparmor    # shows what was refused",
			"bramble runs under the AppArmor profile %s", profile);
}

/* ---- the daemon's own words ---- */

void br_check_daemon(struct br_checks *c)
{
	const char *trouble = json_string_value(json_object_get(c->status, "storage_error"));
	json_int_t missed = json_integer_value(json_object_get(c->status, "capture_dropped"));

	if (!c->status) {
		br_check_add(c, BR_CHECK_NOTE, "daemon", "no board is served", "systemctl enable --now bramble    # or: bramble serve IMAGE", "no daemon answers on %s", c->state);
		return;
	}
	br_check_add(c, BR_CHECK_OK, "daemon", "boards are served", NULL, "the daemon answers (process %lld)", (long long)json_integer_value(json_object_get(c->status, "pid")));
	if (trouble)
		br_check_add(c, BR_CHECK_ERROR, "daemon", "what happens to boards is not stored", "df -h; df -i", "the daemon cannot store events: %s", trouble);
	if (missed > 0)
		br_check_add(c, BR_CHECK_NOTE, "daemon", "'bramble why' did not see them; boards are not concerned", NULL, "%lld frames were not looked at", (long long)missed);
	if (!json_is_string(json_object_get(c->status, "default_image")))
		br_check_add(c, BR_CHECK_WARNING, "daemon", "boards without an image of their own are offered nothing", "bramble image add FILE; then 'image = NAME' in bramble.conf",
			"there is no default image");
}

static bool uses_devices(const json_t *boards, char *out, size_t size)
{
	const json_t *b;
	size_t i;

	json_array_foreach((json_t *)(uintptr_t)boards, i, b) {
		const char *console = json_string_value(json_object_get(b, "console")), *power = json_string_value(json_object_get(b, "power"));

		if ((console && br_str_starts(console, "tty:")) || (power && (br_str_starts(power, "gpio:") || br_str_starts(power, "usbhub:")))) {
			snprintf(out, size, "%s", json_string_value(json_object_get(b, "name")) ?: "?");
			return true;
		}
	}
	return false;
}

/* Serial lines, GPIO and hubs of this host, and a service that has no devices. */
void br_check_devices(struct br_checks *c)
{
	json_int_t pid = json_integer_value(json_object_get(c->status, "pid"));
	br_cleanup(br_freep) char *path = br_asprintf("/proc/%lld/cgroup", (long long)pid), *group = path && pid > 0 ? br_check_read(c, path) : NULL;
	br_cleanup(br_freep) char *drop_in = br_asprintf("%s/etc/systemd/system/bramble.service.d", c->root);
	char board[80];
	DIR *d;

	if (!group || !strstr(group, "bramble.service") || !uses_devices(c->boards, board, sizeof(board)))
		return;
	d = drop_in ? opendir(drop_in) : NULL;
	if (d) {
		closedir(d); /* somebody has changed the unit, and knows */
		return;
	}
	br_check_add(c, BR_CHECK_WARNING, "devices", "the service's sandbox has no devices: consoles and power on this host's serial lines, GPIO and hubs do not work",
		"install -D -m 644 /usr/share/bramble/devices.conf /etc/systemd/system/bramble.service.d/devices.conf; systemctl daemon-reload; systemctl restart bramble",
		"board %s uses a device of this host", board);
}
