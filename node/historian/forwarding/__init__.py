"""From the journal to sinks: the feed with its cursors, and who brings it there."""
