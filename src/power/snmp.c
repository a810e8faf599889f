/* SPDX-License-Identifier: Apache-2.0 */
/* SNMP questions and answers over net-snmp's single sessions. */
#include "power/snmp.h"

#include <net-snmp/net-snmp-config.h>

#include <net-snmp/net-snmp-includes.h>
#include <net-snmp/library/large_fd_set.h>

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"

_Static_assert(sizeof(oid) == sizeof(br_oid), "net-snmp's object identifiers");

#define TRIES 3 /* of a datagram, within one time-out */
#define BULK 24

/* Its lists of users, engines and sessions are shared by all sessions. */
static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

struct br_snmp {
	void *session;
	uint64_t timeout_ns;
	char shown[160];
};

static int nothing_logged(int major, int minor, void *server, void *client)
{
	return SNMPERR_SUCCESS;
}

static void init(void)
{
	setenv("MIBS", "", 1);
	netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DONT_READ_CONFIGS, 1);
	netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DONT_PERSIST_STATE, 1);
	netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DISABLE_PERSISTENT_LOAD, 1);
	netsnmp_ds_set_boolean(NETSNMP_DS_LIBRARY_ID, NETSNMP_DS_LIB_DISABLE_PERSISTENT_SAVE, 1);
	snmp_disable_log(); /* errors come back with words of ours */
	snmp_register_callback(SNMP_CALLBACK_LIBRARY, SNMP_CALLBACK_LOGGING, nothing_logged, NULL);
	init_snmp("bramble");
}

/* ---- one question ---- */

struct asking {
	bool done;
	int r;
	netsnmp_pdu *answer; /* a copy */
};

static int on_answer(int op, netsnmp_session *session, int id, netsnmp_pdu *pdu, void *ctx)
{
	struct asking *a = ctx;

	switch (op) {
	case NETSNMP_CALLBACK_OP_RECEIVED_MESSAGE:
		a->answer = snmp_clone_pdu(pdu);
		a->r = a->answer ? 0 : -ENOMEM;
		break;
	case NETSNMP_CALLBACK_OP_TIMED_OUT:
		a->r = -ETIMEDOUT;
		break;
	case NETSNMP_CALLBACK_OP_CONNECT:
	case NETSNMP_CALLBACK_OP_RESEND:
		return 1;
	case NETSNMP_CALLBACK_OP_SEC_ERROR:
		a->r = -EACCES;
		break;
	default:
		a->r = -EPROTO;
	}
	a->done = true;
	return 1;
}

/* One look at the socket, at most so long. */
static void attend(struct br_snmp *s, int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	netsnmp_large_fd_set set;
	bool readable = poll(&p, 1, ms) == 1;

	netsnmp_large_fd_set_init(&set, fd + 1);
	NETSNMP_LARGE_FD_ZERO(&set);
	pthread_mutex_lock(&library);
	if (readable) {
		NETSNMP_LARGE_FD_SET(fd, &set);
		snmp_sess_read2(s->session, &set);
	} else {
		snmp_sess_timeout(s->session);
	}
	pthread_mutex_unlock(&library);
	netsnmp_large_fd_set_cleanup(&set);
}

static int trouble(struct br_snmp *s, int r, struct br_error *err)
{
	static const struct {
		int r;
		const char *words;
	} known[] = {
		{ -ETIMEDOUT, "does not answer: is it there, does it speak SNMP, is that its community (or user)?" },
		{ -EACCES, "refuses this user: name, password and protocols are to be what the switch has" },
		{ -ENOMEM, "cannot be asked: out of memory" },
		{ -EPROTO, "answers nonsense" },
	};

	for (size_t i = 0; i < BR_ARRAY_SIZE(known); i++)
		if (known[i].r == r)
			return br_error_set(err, -r, "%s %s", s->shown, known[i].words);
	return br_error_set(err, -r, "%s: %s", s->shown, strerrordesc_np(-r));
}

static void close_session(struct br_snmp *s)
{
	if (!s->session)
		return;
	pthread_mutex_lock(&library);
	snmp_sess_close(s->session);
	pthread_mutex_unlock(&library);
	s->session = NULL;
}

/* pdu is taken. The answer is the caller's, for snmp_free_pdu(). */
static int ask(struct br_snmp *s, netsnmp_pdu *pdu, netsnmp_pdu **ret, struct br_error *err)
{
	uint64_t end = br_now_ns() + s->timeout_ns + BR_S;
	struct asking a = { .r = -ETIMEDOUT };
	netsnmp_transport *transport;
	int fd, sent;

	pthread_mutex_lock(&library);
	transport = s->session ? snmp_sess_transport(s->session) : NULL;
	fd = transport ? transport->sock : -1;
	sent = fd < 0 ? 0 : snmp_sess_async_send(s->session, pdu, on_answer, &a);
	if (!sent)
		snmp_free_pdu(pdu);
	pthread_mutex_unlock(&library);
	if (!sent)
		return br_error_set(err, EHOSTUNREACH, "%s cannot be sent anything: no route to it?", s->shown);
	while (!a.done && br_now_ns() < end)
		attend(s, fd, 50);
	if (a.done && a.answer) {
		*ret = a.answer;
		return 0;
	}
	if (!a.done) /* the library still knows 'a': it must not tell it anything any more */
		close_session(s);
	return trouble(s, a.r < 0 ? a.r : -EPROTO, err);
}

/* ---- sessions ---- */

static const struct {
	const char *name;
	oid *id;
	size_t n;
} auths[] = {
	{ "SHA", usmHMACSHA1AuthProtocol, USM_AUTH_PROTO_SHA_LEN },
	{ "SHA224", usmHMAC128SHA224AuthProtocol, USM_AUTH_PROTO_SHA_LEN },
	{ "SHA256", usmHMAC192SHA256AuthProtocol, USM_AUTH_PROTO_SHA_LEN },
	{ "SHA384", usmHMAC256SHA384AuthProtocol, USM_AUTH_PROTO_SHA_LEN },
	{ "SHA512", usmHMAC384SHA512AuthProtocol, USM_AUTH_PROTO_SHA_LEN },
	{ "MD5", usmHMACMD5AuthProtocol, USM_AUTH_PROTO_MD5_LEN },
}, privs[] = {
	{ "AES", usmAESPrivProtocol, USM_PRIV_PROTO_AES_LEN },
	{ "DES", usmDESPrivProtocol, USM_PRIV_PROTO_DES_LEN },
};

static int make_key(netsnmp_session *ns, const char *password, u_char *key, size_t *n)
{
	*n = USM_AUTH_KU_LEN;
	return generate_Ku(ns->securityAuthProto, (u_int)ns->securityAuthProtoLen, (const u_char *)password, strlen(password), key, n) ==
		       SNMPERR_SUCCESS ?
		       0 :
		       -EINVAL;
}

static int secure(const struct br_snmp_peer *p, netsnmp_session *ns)
{
	const char *auth = p->auth_protocol ?: "SHA", *priv = p->priv_protocol ?: "AES";
	int r = 0;

	ns->version = SNMP_VERSION_3;
	ns->securityName = (char *)(uintptr_t)p->user; /* copied by open */
	ns->securityNameLen = strlen(p->user);
	ns->securityLevel = !p->auth_password ? SNMP_SEC_LEVEL_NOAUTH :
		!p->priv_password	      ? SNMP_SEC_LEVEL_AUTHNOPRIV :
						SNMP_SEC_LEVEL_AUTHPRIV;
	for (size_t i = 0; i < BR_ARRAY_SIZE(auths); i++)
		if (p->auth_password && !strcmp(auths[i].name, auth)) {
			ns->securityAuthProto = auths[i].id;
			ns->securityAuthProtoLen = auths[i].n;
			r = make_key(ns, p->auth_password, ns->securityAuthKey, &ns->securityAuthKeyLen);
		}
	for (size_t i = 0; !r && i < BR_ARRAY_SIZE(privs); i++)
		if (p->auth_password && p->priv_password && !strcmp(privs[i].name, priv)) {
			ns->securityPrivProto = privs[i].id;
			ns->securityPrivProtoLen = privs[i].n;
			r = make_key(ns, p->priv_password, ns->securityPrivKey, &ns->securityPrivKeyLen);
		}
	return r;
}

/* Names are resolved here: the library would do it under its lock. */
static int resolve(const struct br_snmp_peer *p, char out[static 128], struct br_error *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_DGRAM }, *list = NULL;
	char text[NI_MAXHOST];
	int code = getaddrinfo(p->host, NULL, &hints, &list);

	if (!code)
		code = getnameinfo(list->ai_addr, list->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST);
	if (!code)
		snprintf(out, 128, list->ai_family == AF_INET6 ? "udp6:[%.90s]:%u" : "udp:%.90s:%u", text, p->port ?: 161u);
	if (list)
		freeaddrinfo(list);
	return code ? br_error_set(err, EHOSTUNREACH, "switch %s: %s", p->host, gai_strerror(code)) : 0;
}

/* RFC 3414 4: who is asked without a name and an engine tells its own. */
static int discover(struct br_snmp *s, u_char *id, size_t size, size_t *ret_n, struct br_error *err)
{
	netsnmp_pdu *pdu, *answer = NULL;
	int r;

	pthread_mutex_lock(&library);
	pdu = snmp_pdu_create(SNMP_MSG_GET);
	pthread_mutex_unlock(&library);
	if (!pdu)
		return trouble(s, -ENOMEM, err);
	pdu->version = SNMP_VERSION_3;
	pdu->securityName = strdup("");
	pdu->securityNameLen = 0;
	pdu->securityLevel = SNMP_SEC_LEVEL_NOAUTH;
	pdu->securityModel = SNMP_SEC_MODEL_USM;
	r = ask(s, pdu, &answer, err);
	if (r < 0)
		return r;
	if (!answer->securityEngineIDLen || answer->securityEngineIDLen > size) {
		r = trouble(s, -EPROTO, err);
	} else {
		memcpy(id, answer->securityEngineID, answer->securityEngineIDLen);
		*ret_n = answer->securityEngineIDLen;
	}
	snmp_free_pdu(answer);
	return r;
}

static int open_session(struct br_snmp *s, netsnmp_session *ns, struct br_error *err)
{
	pthread_mutex_lock(&library);
	s->session = snmp_sess_open(ns);
	pthread_mutex_unlock(&library);
	return s->session ? 0 : br_error_set(err, EIO, "%s: no session: %s", s->shown, snmp_api_errstring(ns->s_snmp_errno));
}

/* The library remembers a user of an engine with the keys it had first: a cloned switch may have others. */
static void forget_user(const u_char *id, size_t n, const char *name)
{
	struct usmUser *user;

	pthread_mutex_lock(&library);
	user = usm_get_user(id, n, name);
	if (user) {
		usm_remove_user(user);
		usm_free_user(user);
	}
	pthread_mutex_unlock(&library);
}

/* First who it is, then a session with it: so the library has nothing to wait for while it opens that. */
static int open_v3(struct br_snmp *s, netsnmp_session *ns, struct br_error *err)
{
	u_char id[64];
	size_t n = 0;
	int r;

	ns->flags |= SNMP_FLAGS_DONT_PROBE;
	r = open_session(s, ns, err);
	if (r < 0)
		return r;
	r = discover(s, id, sizeof(id), &n, err);
	close_session(s);
	if (r < 0)
		return r;
	ns->flags &= ~(u_long)SNMP_FLAGS_DONT_PROBE;
	ns->securityEngineID = id;
	ns->securityEngineIDLen = n;
	forget_user(id, n, ns->securityName);
	return open_session(s, ns, err);
}

int br_snmp_open(const struct br_snmp_peer *p, struct br_snmp **ret, struct br_error *err)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct br_snmp *s = calloc(1, sizeof(*s));
	netsnmp_session ns;
	char peer[128];
	int r;

	if (!s)
		return br_error_set(err, ENOMEM, "out of memory");
	pthread_once(&once, init);
	snprintf(s->shown, sizeof(s->shown), "switch %.120s", p->host);
	s->timeout_ns = p->timeout_ns;
	r = resolve(p, peer, err);
	if (!r) {
		pthread_mutex_lock(&library);
		snmp_sess_init(&ns);
		pthread_mutex_unlock(&library);
		ns.peername = peer;
		ns.timeout = (long)(p->timeout_ns / TRIES / 1000);
		ns.retries = TRIES - 1;
		ns.version = SNMP_VERSION_2c;
		ns.community = (u_char *)(uintptr_t)p->community; /* copied by open */
		ns.community_len = p->community ? strlen(p->community) : 0;
		if (!p->community && secure(p, &ns) < 0)
			r = br_error_set(err, EINVAL, "%s: its SNMP v3 secrets cannot be used: passwords need 8 letters or more", s->shown);
	}
	if (!r)
		r = p->community ? open_session(s, &ns, err) : open_v3(s, &ns, err);
	if (r < 0) {
		free(s);
		return r;
	}
	*ret = s;
	return 0;
}

void br_snmp_close(struct br_snmp *s)
{
	if (!s)
		return;
	close_session(s);
	free(s);
}

/* ---- values ---- */

static netsnmp_pdu *make_pdu(int command)
{
	netsnmp_pdu *pdu;

	pthread_mutex_lock(&library);
	pdu = snmp_pdu_create(command);
	pthread_mutex_unlock(&library);
	return pdu;
}

static bool value_of(const netsnmp_variable_list *v, struct br_snmp_value *ret)
{
	*ret = (struct br_snmp_value){ .oid = v->name, .n_oid = v->name_length };
	switch (v->type) {
	case ASN_INTEGER:
	case ASN_COUNTER:
	case ASN_GAUGE:
	case ASN_TIMETICKS:
		ret->number = v->val.integer ? *v->val.integer : 0;
		return v->val.integer;
	case ASN_OCTET_STR:
	case ASN_IPADDRESS:
		ret->bytes = v->val.string ?: (const uint8_t *)"";
		ret->n_bytes = v->val.string ? v->val_len : 0;
		return true;
	default:
		return false;
	}
}

/* What an answer's error means (RFC 3416 3). */
static int check(struct br_snmp *s, const netsnmp_pdu *answer, struct br_error *err)
{
	switch (answer->errstat) {
	case SNMP_ERR_NOERROR:
		break;
	case SNMP_ERR_NOSUCHNAME:
	case SNMP_ERR_NOCREATION:
		return br_error_set(err, ENOENT, "%s has no such port or table", s->shown);
	case SNMP_ERR_NOACCESS:
	case SNMP_ERR_NOTWRITABLE:
	case SNMP_ERR_READONLY:
	case SNMP_ERR_AUTHORIZATIONERROR:
		return br_error_set(err, EACCES, "%s does not let us write that: give it a community (or user) that may write; or it has no such port", s->shown);
	default:
		return br_error_set(err, EREMOTEIO, "%s refuses: %s", s->shown, snmp_errstring((int)answer->errstat));
	}
	if (answer->command == SNMP_MSG_REPORT)
		return trouble(s, -EACCES, err);
	if (answer->command != SNMP_MSG_RESPONSE || !answer->variables)
		return trouble(s, -EPROTO, err);
	return 0;
}

/* The answer's first value, which must be of that object. */
static int number_of(struct br_snmp *s, const netsnmp_pdu *answer, const br_oid *o, size_t n, int64_t *ret, struct br_error *err)
{
	struct br_snmp_value v;
	int r = check(s, answer, err);

	if (r < 0)
		return r;
	if (answer->variables->type == SNMP_NOSUCHOBJECT || answer->variables->type == SNMP_NOSUCHINSTANCE)
		return br_error_set(err, ENOENT, "%s has no such port or table", s->shown);
	if (!value_of(answer->variables, &v) || v.bytes || snmp_oid_compare(v.oid, v.n_oid, o, n))
		return trouble(s, -EPROTO, err);
	*ret = v.number;
	return 0;
}

int br_snmp_get(struct br_snmp *s, const br_oid *o, size_t n, int64_t *ret, struct br_error *err)
{
	netsnmp_pdu *pdu = make_pdu(SNMP_MSG_GET), *answer = NULL;
	int r;

	if (!pdu)
		return trouble(s, -ENOMEM, err);
	snmp_add_null_var(pdu, o, n);
	r = ask(s, pdu, &answer, err);
	if (r < 0)
		return r;
	r = number_of(s, answer, o, n, ret, err);
	snmp_free_pdu(answer);
	return r;
}

int br_snmp_set(struct br_snmp *s, const br_oid *o, size_t n, int64_t value, struct br_error *err)
{
	netsnmp_pdu *pdu = make_pdu(SNMP_MSG_SET), *answer = NULL;
	long v = (long)value;
	int64_t told;
	int r;

	if (!pdu)
		return trouble(s, -ENOMEM, err);
	snmp_pdu_add_variable(pdu, o, n, ASN_INTEGER, &v, sizeof(v));
	r = ask(s, pdu, &answer, err);
	if (r < 0)
		return r;
	r = number_of(s, answer, o, n, &told, err);
	snmp_free_pdu(answer);
	return r;
}

struct walk {
	const br_oid *root;
	size_t n_root, left;
	br_oid at[BR_SNMP_OID_MAX];
	size_t n_at;
	int (*fn)(void *ctx, const struct br_snmp_value *v);
	void *ctx;
};

/* The values of one answer: 1 at the end of the table. */
static int take_bulk(struct br_snmp *s, struct walk *w, const netsnmp_pdu *answer, struct br_error *err)
{
	for (const netsnmp_variable_list *v = answer->variables; v; v = v->next_variable) {
		struct br_snmp_value value;
		int r;

		if (v->type == SNMP_ENDOFMIBVIEW || v->name_length < w->n_root || v->name_length > BR_SNMP_OID_MAX ||
			snmp_oid_ncompare(v->name, v->name_length, w->root, w->n_root, w->n_root))
			return 1;
		/* one that goes in circles would never end */
		if (snmp_oid_compare(v->name, v->name_length, w->at, w->n_at) <= 0)
			return br_error_set(err, EPROTO, "%s answers nonsense: its table does not go on", s->shown);
		memcpy(w->at, v->name, v->name_length * sizeof(w->at[0]));
		w->n_at = v->name_length;
		if (!w->left--)
			return br_error_set(err, E2BIG, "%s: its table has no end", s->shown);
		if (!value_of(v, &value))
			continue;
		r = w->fn(w->ctx, &value);
		if (r)
			return r < 0 ? r : 1;
	}
	return 0;
}

int br_snmp_walk(struct br_snmp *s, const br_oid *root, size_t n, size_t max, int (*fn)(void *ctx, const struct br_snmp_value *v), void *ctx,
	struct br_error *err)
{
	struct walk w = { .root = root, .n_root = n, .left = max, .n_at = n, .fn = fn, .ctx = ctx };
	int r = 0;

	memcpy(w.at, root, n * sizeof(w.at[0]));
	while (!r) {
		netsnmp_pdu *pdu = make_pdu(SNMP_MSG_GETBULK), *answer = NULL;

		if (!pdu)
			return trouble(s, -ENOMEM, err);
		pdu->non_repeaters = 0;
		pdu->max_repetitions = BULK;
		snmp_add_null_var(pdu, w.at, w.n_at);
		r = ask(s, pdu, &answer, err);
		if (r < 0 || !answer)
			return r;
		r = answer->errstat == SNMP_ERR_NOSUCHNAME ? 1 : check(s, answer, err);
		if (!r)
			r = take_bulk(s, &w, answer, err);
		snmp_free_pdu(answer);
	}
	return r < 0 ? r : 0;
}
