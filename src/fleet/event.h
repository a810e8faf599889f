/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Types of events and their JSON fields. Times are in the event itself. Adding a field is
 * compatible; changing one is not.
 */
#define BR_EV_DAEMON_START "daemon.start"   /* version, interface, address, dhcp */
#define BR_EV_DAEMON_STOP "daemon.stop"
#define BR_EV_IMAGE_ADDED "image.added"	    /* image, sha256 */
#define BR_EV_IMAGE_REMOVED "image.removed" /* image */
#define BR_EV_BOARD_ADOPTED "board.adopted" /* name, mac, serial, model */
#define BR_EV_BOARD_EDITED "board.edited"   /* before, after: changed fields only */
#define BR_EV_BOARD_REMOVED "board.removed" /* name */
#define BR_EV_BOOT_START "boot.start"	    /* image, sha256, disk, client: which stage began it */
#define BR_EV_BOOT_OVERRIDES "boot.overrides" /* reason: what in the overrides directory could not be taken */
#define BR_EV_BOOT_WAITING "boot.waiting"   /* before: boards whose turn comes first */
#define BR_EV_DHCP_OFFER "dhcp.offer"	    /* client, ip, mac */
#define BR_EV_DHCP_ACK "dhcp.ack"	    /* client, ip, mac */
#define BR_EV_DHCP_NAK "dhcp.nak"	    /* client, ip, mac, reason */
#define BR_EV_DHCP_RELEASE "dhcp.release"   /* client, ip, mac */
#define BR_EV_DHCP_DECLINE "dhcp.decline"   /* client, ip, mac, reason */
#define BR_EV_DHCP_FULL "dhcp.full"	    /* mac, reason */
#define BR_EV_DHCP_MODE "dhcp.mode"	    /* mode: "full" | "proxy", reason, server */
#define BR_EV_DHCP_FOREIGN "dhcp.foreign"   /* server, server_mac, offered, type: "OFFER" | "ACK" | "NAK", mac, boots */
#define BR_EV_DHCP_ELSEWHERE "dhcp.elsewhere" /* client, ip, mac, server: took another server's address */
#define BR_EV_DHCP_UNSERVED "dhcp.unserved" /* client, mac, network: behind a relay without a range */
#define BR_EV_DHCP_CONFLICT "dhcp.conflict" /* ip, mac: who has an address of ours */
/* file.*: with "via": "http" or "usb" and without retransmits when these carried it; "first": where a range began */
#define BR_EV_FILE_SENT "file.sent"	    /* path, bytes, ms, retransmits, origin: "image" | "projected" | "override" | "made" | "local" */
#define BR_EV_FILE_PROBED "file.probed"	    /* path, size */
#define BR_EV_FILE_MISSING "file.missing"   /* path, reason: where there is more to say */
#define BR_EV_FILE_REFUSED "file.refused"   /* path, reason */
#define BR_EV_FILE_FAILED "file.failed"	    /* path, bytes, ms, retransmits, reason */
#define BR_EV_MOUNTED "nfs.mounted"	    /* path, image, disk */
#define BR_EV_SHARE_MOUNTED "nfs.share"	    /* path */
#define BR_EV_SHARE_TROUBLE "share.trouble" /* path, what: "stale" | "read-only" | "full" | "io", reason */
#define BR_EV_SHARE_ADDED "share.added"	    /* share, dir, mode: "ro" | "rw" */
#define BR_EV_SHARE_REMOVED "share.removed" /* share */
#define BR_EV_MOUNT_REFUSED "nfs.refused"   /* ip, path, reason */
#define BR_EV_NFS_TROUBLE "nfs.trouble"	    /* ip, what: "stale" | "read-only" | "no-init" | "denied" | "small-reads" | "io", reason */
#define BR_EV_DISK_RESET "disk.reset"	    /* forced: the board had mounted it, and its handles are stale now */
#define BR_EV_DISK_SNAPSHOT "disk.snapshot" /* name */
#define BR_EV_DISK_ROLLBACK "disk.rollback" /* name, forced: as in disk.reset */
#define BR_EV_DISK_SAVED "disk.saved"	    /* image, sha256 */
#define BR_EV_DISK_SMALL "disk.small"	    /* reason: why it is not as large as the board should have it */
#define BR_EV_DISK_FULL "disk.full"	    /* reason: its own file system, or the host's */
#define BR_EV_IMAGE_CHANGED "image.changed" /* image, reason: its file is not what it was */
#define BR_EV_FLASH_ORDERED "flash.ordered" /* order, image, target */
#define BR_EV_FLASH_STARTED "flash.started" /* order, image, target, place; again: after a break */
#define BR_EV_FLASH_VERIFIED "flash.verified" /* order, image, target, windows, written, bytes, ms */
#define BR_EV_FLASH_DONE "flash.done"	    /* order, by: "dhcp" | "ssh" | "url" | "none" */
#define BR_EV_FLASH_FAILED "flash.failed"   /* order, what, reason */
#define BR_EV_FLASH_CANCELLED "flash.cancelled" /* order, reason */
#define BR_EV_USB_FOUND "usb.found"	    /* path, chip, stage: "rom" | "file-server", serial, payload */
#define BR_EV_USB_STEP "usb.step"	    /* path, step: session.h's word, name, bytes, detail */
#define BR_EV_USB_METADATA "usb.metadata"   /* path, told: what it said of itself */
#define BR_EV_USB_DONE "usb.done"	    /* path, verdict, reason, files, bytes, ms */
#define BR_EV_USB_FAILED "usb.failed"	    /* the same */
#define BR_EV_EEPROM_UPDATE "eeprom.update"   /* sha256, chip, build_time; forced: the reasons against it that were passed over */
#define BR_EV_AUDIT "audit"		    /* action: "fuse" | "force", text, user, board, serial */
/* reservation: "r12"; held and ended are events of each board */
#define BR_EV_RESERVATION_QUEUED "reservation.queued" /* reservation, user, selector, count, before: how many are served first */
#define BR_EV_RESERVATION_HELD "reservation.held"     /* reservation, user, selector, boards: how many */
#define BR_EV_RESERVATION_ENDED "reservation.ended"   /* reservation, user, why: reservation.h's word, reason, seconds */
#define BR_EV_RESERVATION_LEFT "reservation.left"     /* while it waited: reservation, user, why, reason */
#define BR_EV_CONSOLE_UP "console.up"	    /* console: its URI */
#define BR_EV_CONSOLE_AWAY "console.away"   /* reason */
#define BR_EV_CONSOLE_WRITER "console.writer" /* who: has the right to write on it now */
#define BR_EV_BOARD_UP "board.up"	    /* by: what showed it ("dhcp", "nfs") */
#define BR_EV_POWER_ON "power.on"	    /* action, verified, detail */
#define BR_EV_POWER_OFF "power.off"	    /* the same */
#define BR_EV_POWER_CYCLED "power.cycled"   /* action: "cycle" | "reset" | "soft", verified, rung: "soft" | "hard", detail */
#define BR_EV_POWER_FAILED "power.failed"   /* action: "on" ... "soft" | "boot", reason */
#define BR_EV_BOARD_QUARANTINED "board.quarantined" /* reason, by_itself */
#define BR_EV_BOARD_RELEASED "board.released" /* reason: why it was in quarantine */
#define BR_EV_LOG_LOST "log.lost"	    /* count, reason, ip: of a stranger */
#define BR_EV_LOST "events.lost"	    /* count */
