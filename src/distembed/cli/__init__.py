"""The command line: one verb a file. A verb imports torch only when it computes."""
