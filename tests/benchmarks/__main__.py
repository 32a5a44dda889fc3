if __name__ == "__main__":  # not in the processes of the contenders
    from .command import main
    main()
