"""Settings of Sphinx for the documentation; `make docs` builds it."""

project = "lambda-build-plugin"
project_copyright = "the authors of lambda-build-plugin"
language = "en"

extensions = ["myst_parser"]
# Headings are targets of links, spelled as GitHub spells them.
myst_heading_anchors = 4
exclude_patterns = ["**/_*"]
nitpicky = True

html_theme = "furo"
html_title = "lambda-build-plugin"
html_extra_path = ["schema"]
html_baseurl = "https://lambda-build-plugin.github.io/lambda-build-plugin/"
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "source_repository": "https://github.com/lambda-build-plugin/lambda-build-plugin/",
    "source_branch": "main",
    "source_directory": "docs/",
}
