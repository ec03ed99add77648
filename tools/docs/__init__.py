"""The site of the documentation: `make docs` builds it by MkDocs, and looks whether every link leads somewhere."""
