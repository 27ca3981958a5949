"""What the documents say is so: links, paths, names, commands, snippets, tables, examples."""
