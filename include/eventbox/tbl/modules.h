/* Modules in this binary: MODULE(name). The order is that of `conf print`; starts follow `requires`. */
MODULE(fluent)
MODULE(broker)
MODULE(users)
MODULE(notify)
