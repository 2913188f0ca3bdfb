"""Steering from W&B's page: tags that begin with `mc:` become commands, each once.

`words` reads a tag, `obeying` accepts what it asks for, `outcomes` learns what became of that,
`telling` tells the page, and `bridge` does these in rounds. W&B's SDK is in a process of its own
(`sdk_process`), so that neither a slow server nor the SDK can keep anybody waiting.
"""
