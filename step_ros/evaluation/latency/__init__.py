"""How long a cycle takes: every engine, size and method on one machine, beside what that machine allows."""
