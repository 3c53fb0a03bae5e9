"""Commands of ``fve``: one file a command. They parse, call and print; the work is done elsewhere."""
