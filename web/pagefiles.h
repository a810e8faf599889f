/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/*
 * The files of the web page, part of the program: nothing is read from a disk to serve them. web/embed makes the table from
 * web/ when the program is built.
 */
struct br_page_file {
	const char *path; /* of the URL: "/", "/app.js" */
	const char *type; /* "text/javascript; charset=utf-8" */
	const char *etag; /* of its contents, with the quotes */
	const uint8_t *data, *gz; /* as it is; as gzip */
	size_t n, n_gz;
};
extern const struct br_page_file br_page_files[];
extern const size_t br_page_n_files;

/* What the page needs and no more; whatever a board smuggled into it, nothing else runs or is asked. For every answer of
 * the listener that is a file of the page. */
#define BR_PAGE_CSP                                                                                          \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " \
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/* The file at a path of the URL; NULL: there is none. */
const struct br_page_file *br_page_find(const char *path);
