/*
 * Writes one LIST response. Called by list.c and announce.c. Never looks anything up. RFC 5258 3.5 (CHILDINFO),
 * RFC 6154 2; RFC 9051 6.3.9.7 (OLDNAME).
 */
#include "imap/list_line.h"

#include "imap/mailbox.h"
#include "imap/name.h"

#define LINE_MAX_BYTES	(2 * NAME_STRING_MAX_BYTES + 512)

static const struct { enum list_attribute attribute; const char *name; } attributes[] = {
	{LIST_IS_NONEXISTENT, "\\NonExistent"}, {LIST_IS_NOSELECT, "\\Noselect"}, {LIST_HAS_CHILDREN, "\\HasChildren"},
	{LIST_HAS_NO_CHILDREN, "\\HasNoChildren"}, {LIST_IS_SUBSCRIBED, "\\Subscribed"},
	{LIST_IS_INBOX, "\\Inbox"}, {LIST_IS_SPAM, "\\Spam"},
};

static int
word_add(struct buf *b, const char *word)
{
	if (b->p[b->n - 1] != '(' && buf_add(b, " ", 1) < 0)
		return -1;
	return buf_add_str(b, word);
}

static int
attributes_add(struct buf *b, const struct list_line *line)
{
	const char	*use = special_use_name(line->use);

	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++)
		if ((line->attributes & attributes[i].attribute) != 0 && word_add(b, attributes[i].name) < 0)
			return -1;
	return use != NULL ? word_add(b, use) : 0;
}

/* mbox-list-extended = "(" [mbox-list-extended-item *(SP mbox-list-extended-item)] ")" after a space (RFC 5258 6) */
static int
extended_add(struct imap *im, struct buf *b, const struct list_line *line)
{
	bool	has_oldname = line->oldname.p != NULL;

	if (!line->has_childinfo && !has_oldname)
		return 0;
	if (buf_add_str(b, " (") < 0 || (line->has_childinfo && buf_add_str(b, "\"CHILDINFO\" (\"SUBSCRIBED\")") < 0))
		return -1;
	if (has_oldname && (buf_add_str(b, line->has_childinfo ? " \"OLDNAME\" (" : "\"OLDNAME\" (") < 0 ||
	    name_quote(im, b, line->oldname) < 0 || buf_add_str(b, ")") < 0))
		return -1;
	return buf_add_str(b, ")");
}

void
list_line_tell(struct imap *im, const struct list_line *line)
{
	struct buf	b = buf_make(LINE_MAX_BYTES);

	if (buf_addf(&b, "* %s (", line->verb) == 0 && attributes_add(&b, line) == 0 && buf_add_str(&b, ") \"/\" ") == 0 &&
	    name_quote(im, &b, line->name) == 0 && extended_add(im, &b, line) == 0 && buf_add_str(&b, "\r\n") == 0)
		session_write(im->s, b.p, b.n);
	buf_free(&b);
}
