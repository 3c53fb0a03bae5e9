"""What people look at: contact sheets, figures, the report, the viewer."""
