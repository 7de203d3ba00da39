"""Sphinx configuration of the documentation site; `make docs` builds it into `build/site`."""

from importlib.metadata import version as installed_version

project = "folksong"
author = "The folksong authors"
release = version = installed_version("folksong")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
html_theme = "furo"
html_title = "folksong"
exclude_patterns = ["answer"]
html_extra_path = []

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # pages link to files of the repository too
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300

autodoc_member_order = "bysource"
autodoc_typehints = "description"
napoleon_google_docstring = True
