"""The main job: catalogs and folders become a committed store."""
