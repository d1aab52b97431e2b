"""Images, tables and files on disk: whole or absent."""
