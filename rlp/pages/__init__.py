"""Pages to look at: runs side by side, and the report of one."""
