/* Intrusive doubly linked list. An unlinked link is zero or points to itself. */
#pragma once

#include <eventbox/base/defs.h>

struct list {
    struct list *next;
    struct list *prev;
};

#define LIST_INIT(head)                                                                            \
    { &(head), &(head) }

static inline void list_init(struct list *head) {
    head->next = head->prev = head;
}
static inline bool list_empty(const struct list *head) {
    return !head->next || head->next == head;
}
static inline bool list_linked(const struct list *link) {
    return link->next && link->next != link;
}
static inline void list_insert_after_(struct list *at, struct list *link) {
    link->prev = at;
    link->next = at->next;
    at->next->prev = link;
    at->next = link;
}
static inline void list_push_back(struct list *head, struct list *link) {
    list_insert_after_(head->prev, link);
}
static inline void list_push_front(struct list *head, struct list *link) {
    list_insert_after_(head, link);
}
static inline void list_remove(struct list *link) { /* harmless on an unlinked one */
    if (link->next) {
        link->prev->next = link->next;
        link->next->prev = link->prev;
    }
    link->next = link->prev = link;
}
/* Moves all of @from behind the end of @to; @from is empty afterwards. */
static inline void list_splice_back(struct list *to, struct list *from) {
    if (list_empty(from)) {
        return;
    }
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}
static inline struct list *list_pop_front(struct list *head) {
    struct list *first = head->next;
    if (list_empty(head)) {
        return NULL;
    }
    list_remove(first);
    return first;
}

#define list_entry(link, type, member) container_of(link, type, member)
#define list_for_each(link, head)                                                                  \
    for (struct list *link = (head)->next; link != (head); link = link->next)
/* Safe against removal of the current link. */
#define list_for_each_safe(link, head)                                                             \
    for (struct list *link = (head)->next, *link##_next = link->next; link != (head);              \
         link = link##_next, link##_next = link->next)
