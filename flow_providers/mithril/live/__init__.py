"""The live door: the adapter against the real Mithril, and a report of it that can be sent to anyone.

    MITHRIL_API_KEY=... python -m flow_providers.mithril.live
    MITHRIL_API_KEY=... python -m flow_providers.mithril.live --spend 5

Without `--spend` nothing is made or changed. The report tells what was asked, how it was answered and of what shape the
answers were: field names, kinds of values, words of enumerations. It holds no value that is anybody's own.
"""
