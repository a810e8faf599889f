/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/error.h"

#define BR_NETIF_NAME 16 /* IFNAMSIZ: name and NUL */

/* One network interface as the kernel has it now. */
struct br_netif {
	char name[BR_NETIF_NAME];
	unsigned index;
	struct br_mac mac; /* zero when it is no Ethernet */
	bool ethernet;	   /* an Ethernet-like interface, able to carry DHCP */
	bool up;	   /* administratively */
	bool carrier;	   /* a cable is in */
	unsigned mtu;
	uint32_t ip; /* first IPv4 address (link-local ones last), 0: none */
	unsigned prefix;
};

/* -ENODEV with words (the names that do exist among them) when there is no such interface. */
int br_netif_info(const char *name, struct br_netif *ret, struct br_error *err);
/* 1 when the interface has this address, 0 when not, or a negative errno. */
int br_netif_has_address(const char *name, uint32_t ip);
/* The interface of the IPv4 default route with the lowest metric. -ENOENT with words when there is no such route. */
int br_netif_default(char name[static BR_NETIF_NAME], struct br_error *err);
/* Whether an IPv4 default route leaves by this interface; true also when that cannot be found out. */
bool br_netif_has_default_route(const char *name);
/*
 * The kernel's table of neighbours (ARP), which all networks of the machine share, holds 1024 by default; packets to
 * those that do not fit are lost. Makes room for n of ours. 1: raised (*ret_was: from what); 0: there was room, or it
 * cannot be known here (a namespace); -EACCES and the like: there is not (*ret_was: how many fit), and we may not.
 */
int br_netif_neighbour_room(unsigned n, unsigned *ret_was);
/* Speed of its link in Mbit/s, 0: not known (no link, or the driver does not say). */
unsigned br_netif_speed(const char *name);
/* Gives the interface an address and takes it up. Returns 1 when it was added, 0 when it was there already (with
 * this prefix; -EEXIST with another). */
int br_netif_add_address(const char *name, uint32_t ip, unsigned prefix, struct br_error *err);
/* Takes it away again. Missing is success. */
int br_netif_remove_address(const char *name, uint32_t ip, unsigned prefix, struct br_error *err);
