"""The command line: one verb a file, and no verb imports torch before it has work to do."""
