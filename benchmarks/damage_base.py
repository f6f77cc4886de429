def damages():
    return []
